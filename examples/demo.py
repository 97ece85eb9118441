"""The demo: nano answers nine questions about held-out files, `make demo`."""

import json
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.markup import escape

from qwen2vl import Chat
from qwen2vl.processing.drawing import draw

FOLDER = Path(__file__).resolve().parent
OUTPUT = Path("demo")


def main() -> None:
    console = Console(highlight=False)
    console.print("This is [bold]nano[/], a model that this code trained from scratch on images that it draws.")
    chat = Chat("nano")
    OUTPUT.mkdir(exist_ok=True)
    for number, example in enumerate(json.loads((FOLDER / "questions.json").read_text()), 1):
        ask(console, chat, number, example)
    console.print("\nAsk your own:  [bold].venv/bin/qwen2vl chat --image examples/scene.png --draw out.png[/]")
    console.print(
        "Similar images work too; photographs do not, because nano has only seen images that this code draws."
    )


def ask(console: Console, chat: Chat, number: int, example: dict) -> None:
    """Ask one question; print its files and the answer, and save the image with the places that the answer names."""
    files = [FOLDER / name for name in example["files"]]
    shown = " ".join(
        str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file) for file in files
    )
    console.print(f"\n[bold]{number}. {escape(example['question'])}[/]   [dim]{escape(shown)}[/]")
    videos = [file for file in files if file.suffix == ".mp4"]
    images = [file for file in files if file not in videos]
    content = [{"type": "image", "image": str(file)} for file in images]
    content += [{"type": "video", "video": str(file)} for file in videos]
    content.append({"type": "text", "text": example["question"]})
    stream = chat.stream([{"role": "user", "content": content}], max_new_tokens=64)
    console.print("   ", end="")
    for piece in stream:
        console.print(escape(piece), end="")
    console.print()
    if not example["draw_to"] and stream.answer.text != example["right"]:
        console.print(f"   [dim]expected: {escape(example['right'])}[/]")
    if example["draw_to"]:
        target = OUTPUT / example["draw_to"]
        with Image.open(images[-1]) as image:
            draw(image.convert("RGB"), stream.answer.boxes, stream.answer.points).save(target)
        console.print(f"    saved: [cyan]{target}[/]")


if __name__ == "__main__":
    main()
