"""Draw docs/images/answers.png, all examples with nano's answers: `python -m examples.sheet`."""

import json
import textwrap
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont

from examples.make import FOLDER
from qwen2vl import Chat
from qwen2vl.processing.drawing import draw
from qwen2vl.processing.grounding import parse_places

OUT = FOLDER.parent / "docs" / "images" / "answers.png"
COLUMNS, TILE, GAP = 3, 280, 16
LANCZOS = Image.Resampling.LANCZOS
CAPTION = 58
"""Height in pixels of question and answer under an image."""
FRAMES = 4
"""Number of frames that are shown of a video, in reading order."""


def main() -> None:
    chat = Chat("nano")
    tiles = [tile(chat, example) for example in json.loads((FOLDER / "questions.json").read_text())]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (GAP + COLUMNS * (TILE + GAP), GAP + rows * (TILE + CAPTION + GAP)), "white")
    for number, each in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(each, (GAP + column * (TILE + GAP), GAP + row * (TILE + CAPTION + GAP)))
    sheet.save(OUT, optimize=True)
    print(f"{len(tiles)} answers drawn in {OUT}")


def tile(chat: Chat, example: dict) -> Image.Image:
    """One example: its images, with the places of the answer drawn on them, question and answer."""
    files = [FOLDER / name for name in example["files"]]
    if files[0].suffix == ".mp4":
        answer = chat.ask(example["question"], videos=files)
        images = frames_of(files[0])
    else:
        answer = chat.ask(example["question"], images=files)
        images = [picture(file) for file in files]
    zoom = TILE / max(beside(images).size)
    images = [image.resize((round(zoom * image.width), round(zoom * image.height)), LANCZOS) for image in images]
    places = parse_places(answer.text, [image.size for image in images])
    shown = beside(
        [
            draw(
                image,
                [box for box in places.boxes if box.image_index == number],
                [point for point in places.points if point.image_index == number],
            )
            for number, image in enumerate(images)
        ]
    )
    canvas = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    canvas.paste(shown, ((TILE - shown.width) // 2, (TILE - shown.height) // 2))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    lines = textwrap.wrap(example["question"], 38)[:2]
    pen.text((4, TILE + 4), "\n".join(lines), fill=(90, 90, 90), font=font)
    said = "drawn" if places.boxes or places.points else textwrap.shorten(answer.text, 34, placeholder="...")
    pen.text((4, TILE + 4 + 18 * len(lines)), f"nano: {said}", fill=(0, 90, 160), font=font)
    return canvas


def beside(images: list[Image.Image]) -> Image.Image:
    """One image that shows all images, two in a row."""
    wide, high = max(image.width for image in images), max(image.height for image in images)
    columns, rows = min(2, len(images)), -(-len(images) // 2)
    grid = Image.new("RGB", (columns * wide + 2 * (columns - 1), rows * high + 2 * (rows - 1)), "white")
    for number, image in enumerate(images):
        row, column = divmod(number, 2)
        grid.paste(image, (column * (wide + 2), row * (high + 2)))
    return grid


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def frames_of(path: Path) -> list[Image.Image]:
    """FRAMES frames of a video, evenly spaced over its length."""
    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return [frames[round(number * (len(frames) - 1) / (FRAMES - 1))] for number in range(FRAMES)]


if __name__ == "__main__":
    main()
