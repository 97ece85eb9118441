"""Files of the two packages that execute code during an action: `python -m tools.traced_files [--check]`.

A file counts when one of its functions is entered or resumed; `__init__.py` files and the code that an import runs do not
count. Each action is traced the second time, without work that is done once (imports, caches, the first step). The
files that read the data of a training step are in a separate list: `data/loader.py`, and everything that it calls.

The lists are written into docs/architecture.md; --check changes nothing and fails if the page is not up to date.
"""

import argparse
import json
import re
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image

from qwen2vl import Chat, load_model, load_processor
from qwen2vl.recipes.finetune import finetune
from qwen2vl.training.run import train_run
from qwen2vl.training.train_config import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = tuple(f"{ROOT / name}/" for name in ("qwen2vl", "drawn_world"))
LOADER = f"{ROOT}/qwen2vl/data/loader.py"


class Trace:
    """The files that are entered while it is switched on, in the order of their first call, relative to the repository."""

    def __init__(self) -> None:
        self.files: list[str] = []
        """Files that are entered outside the loader of training data."""
        self.data_files: list[str] = []
        """Files that are entered from the loader of training data."""

    def start(self) -> None:
        """Start recording calls of all threads."""
        threading.settrace(self.enter)
        sys.settrace(self.enter)

    def stop(self) -> None:
        """Stop recording calls."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]  # documented, missing in the type stub

    def enter(self, frame: FrameType, event: str, argument: object) -> None:
        """Record the file of a called function."""
        file = frame.f_code.co_filename
        if file.startswith(PACKAGES) and not file.endswith("__init__.py") and frame.f_code.co_name != "<module>":
            files = self.data_files if from_loader(frame) else self.files
            name = file.removeprefix(f"{ROOT}/")
            files += [] if name in files else [name]


def from_loader(frame: FrameType | None) -> bool:
    """Whether a frame or one of its callers runs the loader of training data."""
    while frame is not None:
        if frame.f_code.co_filename == LOADER:
            return True
        frame = frame.f_back
    return False


@contextmanager
def recorded() -> Iterator[list[str]]:
    """A list that contains the files after the block."""
    trace = Trace()
    trace.start()
    try:
        yield trace.files
    finally:
        trace.stop()


def forward_pass() -> list[str]:
    """Files of a forward pass of nano, without gradients, over one image and a question."""
    model, inputs = load_model("nano").eval(), load_processor("nano")(question())
    with torch.inference_mode():
        model(inputs)
        with recorded() as files:
            model(inputs)
    return files


def request() -> list[str]:
    """Files of a question about an image to `Chat`."""
    chat = Chat("nano")
    chat.chat(question(), max_new_tokens=4)
    with recorded() as files:
        chat.chat(question(), max_new_tokens=4)
    return files


def training_step() -> Trace:
    """The trace of one step of a fine-tune of nano, neither validated nor saved."""
    trace = Trace()

    def on_step(line: dict[str, Any]) -> None:
        if line["step"] == 2:
            trace.start()
        elif line["step"] == 3:
            trace.stop()

    with tempfile.TemporaryDirectory() as name:
        records = Path(name) / "records.jsonl"
        answered = [*question(Path("image.png")), {"role": "assistant", "content": "A grey image."}]
        question_image().save(records.with_name("image.png"))
        line = {"source": "images", "kind": "vqa", "messages": answered}
        records.write_text("".join(json.dumps(line | {"id": str(number)}, default=str) + "\n" for number in range(64)))
        train = TrainConfig(save_every=100, validate_every=100)
        spec = finetune(model="nano", data=records, tokens=256, packs_per_step=1, steps=4, held_out=0.0, train=train)
        train_run(spec, Path(name) / "run", on_step, num_workers=0)
    return trace


def question(image: Any = None) -> list[dict[str, Any]]:
    """A conversation of one image and one question."""
    content = [{"type": "image", "image": image or question_image()}, {"type": "text", "text": "What is this?"}]
    return [{"role": "user", "content": content}]


def question_image() -> Image.Image:
    """A grey image of 12 visual tokens."""
    return Image.fromarray(np.full((84, 112, 3), 200, np.uint8))


def page_block() -> str:
    """The lists as Markdown."""
    step = training_step()
    parts = {
        "a forward pass": forward_pass(),
        "a training step": step.files,
        "the data of a training step": step.data_files,
        "a request": request(),
    }
    lines = [
        "The lists below are traced: files of `qwen2vl/` in the order of their first call when an action is repeated, without",
        "`__init__.py` files and imports. `python -m tools.traced_files` writes them.",
        "",
    ]
    for name, files in parts.items():
        shown = ", ".join(f"`{file.removeprefix('qwen2vl/')}`" for file in files)
        lines += [f"## Follow {name}", "", *textwrap.wrap(f"{len(files)} files: {shown}.", 125), ""]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    options = parser.parse_args(argv)
    old = PAGE.read_text(encoding="utf-8")
    start, end = "<!-- traced files -->\n", "<!-- traced files end -->"
    new = re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{page_block()}\n{end}", old, count=1, flags=re.DOTALL)
    if options.check:
        print("up to date" if new == old else "docs/architecture.md is out of date; run `python -m tools.traced_files`")
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
