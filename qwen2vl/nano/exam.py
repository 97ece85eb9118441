"""nano's exam: held-out items of the drawn world, stored, so that scores repeat exactly and need no fonts.

exam.zip / items.jsonl      one item a line; media are names of files beside it
         / media/*.webp     lossless pictures; a film is a list of them
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from qwen2vl.evaluation.runner import ExamItem
from qwen2vl.nano.world import TASKS, draw
from qwen2vl.nano.world.item import replace_media

PACKAGED_EXAM = Path(__file__).resolve().parent / "exam.zip"
ITEMS_PER_TASK = 200

FLOORS = {
    "colour_shape": (0.95, 0.99),
    "count": (0.80, 0.95),
    "ground": (0.70, 0.90),
    "screen": (0.70, 0.90),
    "motion": (0.90, 0.99),
    "order": (0.75, 0.95),
    "compare": (0.75, 0.95),
    "read_word": (0.60, 0.90),
}
"""What nano should reach at least, and what it aims at."""


def write_exam(path: Path, items_per_task: int = ITEMS_PER_TASK, split: str = "test") -> int:
    """Draw the items of a held-out split and store them; returns their number. Needs fonts and words."""
    lines = []
    temporary = path.with_suffix(".partial")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for task in TASKS:
            for seed in range(items_per_task):
                item, name = draw(task, seed, split), f"{task}-{seed}"
                messages = store_media(item.messages, name, archive)
                lines.append({"id": name, "task": task, "messages": messages, "truth": item.truth})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        archive.writestr("items.jsonl", text, zipfile.ZIP_DEFLATED)
    temporary.replace(path)
    return len(lines)


def store_media(messages: list[dict[str, Any]], name: str, archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    """The messages with pictures replaced by the names under which they were stored."""
    count = 0

    def store(picture: Image.Image) -> str:
        nonlocal count
        file, content = f"media/{name}-{count}.webp", io.BytesIO()
        picture.save(content, "WEBP", lossless=True, quality=100, method=4, exact=True)
        archive.writestr(file, content.getvalue())
        count += 1
        return file

    return replace_media(messages, store)


def read_exam(path: Path = PACKAGED_EXAM, tasks: tuple[str, ...] = TASKS) -> Iterator[ExamItem]:
    """The stored items of these tasks, in the order they were drawn."""
    with zipfile.ZipFile(path) as archive:

        def load(name: str) -> Image.Image:
            return Image.open(io.BytesIO(archive.read(name))).convert("RGB")

        for text in archive.read("items.jsonl").decode().splitlines():
            line = json.loads(text)
            if line["task"] in tasks:
                yield ExamItem(**line | {"messages": replace_media(line["messages"], load)})
