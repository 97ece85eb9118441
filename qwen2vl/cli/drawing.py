"""Writing the images of an answer with its places drawn on them."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from qwen2vl.cli.options import UsageError
from qwen2vl.inference.answer import Answer
from qwen2vl.processing.drawing import draw
from qwen2vl.processing.grounding import Box, Point


def write_drawings(path: Path, images: Sequence[Image.Image], answer: Answer) -> list[Path]:
    """One file for each image on which the answer names a place; the last image as it is when it names none.

    The first goes to `path`; further ones to OUT-2.png, OUT-3.png. Raises UsageError when one cannot be written.
    """
    places: list[Box | Point] = [*answer.boxes, *answer.points]
    marked = sorted({place.image_index for place in places}) or [len(images) - 1]
    targets = [path if i == 0 else path.with_stem(f"{path.stem}-{i + 1}") for i in range(len(marked))]
    for index, target in zip(marked, targets, strict=True):
        boxes = [box for box in answer.boxes if box.image_index == index]
        points = [point for point in answer.points if point.image_index == index]
        save_whole(draw(images[index], boxes, points), target)
    return targets


def save_whole(image: Image.Image, path: Path) -> None:
    """The file appears whole or not at all."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=path.suffix.lower(), delete=False) as file:
            temporary = Path(file.name)
            image.save(file)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"--draw {path} cannot be written: choose a place with room where you may write") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    """Temporary files are private; the drawing is to be like any other new file."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
