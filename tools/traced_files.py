"""Files of the two packages that execute code during an action: `python -m tools.traced_files` prints three paths.

A file counts when one of its functions is entered or resumed; `__init__.py` files and what an import executes do not count.
Each path is that of the second time: what is prepared once (imports, caches, positions of the first step) is left out.
docs/architecture.md shows the three lists, and a test compares them.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = tuple(f"{ROOT / name}/" for name in ("qwen2vl", "drawn_world"))


@contextmanager
def traced() -> Iterator[list[str]]:
    """Inside, a list of files in the order in which they are first entered, relative to the repository."""
    found: dict[str, None] = {}

    def enter(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGES) and not file.endswith("__init__.py") and frame.f_code.co_name != "<module>":
            found.setdefault(file.removeprefix(f"{ROOT}/"))

    files: list[str] = []
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        yield files
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        files += found


def forward() -> list[str]:
    """A forward pass of nano over one image and a question."""
    from qwen2vl import load_model, load_processor

    model, inputs = load_model("nano").eval(), load_processor("nano")(question())
    model(inputs)
    with traced() as files:
        model(inputs)
    return files


def request() -> list[str]:
    """A question about an image, asked of `Chat`."""
    from qwen2vl import Chat

    chat = Chat("nano")
    chat.chat(question(), max_new_tokens=4)
    with traced() as files:
        chat.chat(question(), max_new_tokens=4)
    return files


def question() -> list[dict[str, object]]:
    """A conversation of one image and one question."""
    image = Image.fromarray(np.full((84, 112, 3), 200, np.uint8))
    content = [{"type": "image", "image": image}, {"type": "text", "text": "What is this?"}]
    return [{"role": "user", "content": content}]
