"""Setting one line of text: the size that fits, and ink exactly inside a box."""

from functools import lru_cache

from PIL import Image, ImageDraw

from drawn_world.fonts import Face, font
from drawn_world.item import Box
from drawn_world.palette import Rgb

SIZES = (*range(8, 20), *range(20, 64, 2))  # few sizes, so that the cache of loaded fonts stays small
NOMINAL = 32


@lru_cache(maxsize=1024)
def line_height(face: Face, size: int) -> tuple[int, int]:
    """Top and bottom of the ink of "Agbdpy|" below the drawing origin: the same for every line of a face."""
    box = font(face, size).getbbox("Agbdpy")
    return int(box[1]), int(box[3])


def fit_size(face: Face, text: str, width: int, height: int) -> int:
    """The largest size at which the text is at most so wide and so high, ascenders and descenders counted."""
    left, _, right, _ = font(face, NOMINAL).getbbox(text)
    top, bottom = line_height(face, NOMINAL)
    limit = NOMINAL * min(width / (right - left), height / (bottom - top))
    return max((size for size in SIZES if size <= limit), default=SIZES[0])


def ink_size(face: Face, size: int, text: str) -> tuple[int, int]:
    """Width of the ink, and height of a full line."""
    left, _, right, _ = font(face, size).getbbox(text)
    top, bottom = line_height(face, size)
    return int(right - left), bottom - top


def write(image: Image.Image, face: Face, size: int, text: str, corner: tuple[int, int], ink: Rgb) -> Box:
    """Draws the text with the upper left corner of its line at a pixel; returns the box of the line."""
    left = int(font(face, size).getbbox(text)[0])
    top, _ = line_height(face, size)
    ImageDraw.Draw(image).text((corner[0] - left, corner[1] - top), text, font=font(face, size), fill=ink)
    width, height = ink_size(face, size, text)
    return corner[0], corner[1], corner[0] + width, corner[1] + height
