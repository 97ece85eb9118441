"""Named colours, backgrounds on which they stand out, and light noise over images."""

from random import Random

import numpy as np
from PIL import Image

Rgb = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""

EASY_GROUND = (240, 240, 240)
COLOURS: dict[str, Rgb] = {
    "red": (214, 32, 36),
    "green": (34, 150, 58),
    "blue": (36, 72, 208),
    "yellow": (244, 216, 34),
    "orange": (246, 136, 20),
    "purple": (126, 38, 160),
    "pink": (248, 150, 190),
    "black": (14, 14, 14),
    "white": (244, 244, 244),
}

SHADES: dict[str, tuple[Rgb, ...]] = {
    "red": ((255, 0, 0), (214, 39, 40), (244, 67, 54), (200, 16, 30), (220, 20, 60)),
    "green": ((0, 128, 0), (0, 200, 0), (44, 160, 44), (76, 175, 80), (20, 110, 50), (0, 255, 0)),
    "blue": ((0, 0, 255), (31, 119, 180), (33, 150, 243), (20, 40, 160), (65, 105, 225)),
    "yellow": ((255, 255, 0), (255, 215, 0), (255, 235, 59), (240, 220, 70)),
    "orange": ((255, 165, 0), (255, 127, 14), (255, 140, 0), (255, 152, 0)),
    "purple": ((128, 0, 128), (148, 103, 189), (156, 39, 176), (110, 40, 180)),
    "pink": ((255, 192, 203), (255, 105, 180), (227, 119, 194), (255, 150, 190)),
    "black": ((0, 0, 0), (30, 30, 30), (17, 17, 24)),
    "white": ((255, 255, 255), (245, 245, 245)),
}
"""What other programs draw under these names: CSS, matplotlib, common user interfaces."""


def distance(a: Rgb, b: Rgb) -> int:
    """Sum of absolute channel differences."""
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))


def jitter(rng: Random, colour: Rgb, spread: int = 12) -> Rgb:
    """The colour, with up to `spread` added to or taken from every channel.

    With more than 12, people confuse red with orange and pink with white.
    """
    red, green, blue = (min(255, max(0, channel + rng.randint(-spread, spread))) for channel in colour)
    return red, green, blue


def background(rng: Random, ease: float = 0.0) -> Rgb:
    """A light, dark or medium background with a faint tint; with probability `ease` the nearly white EASY_GROUND."""
    if ease and rng.random() < ease:
        return EASY_GROUND
    level = rng.choice((rng.randint(205, 250), rng.randint(205, 250), rng.randint(5, 60), rng.randint(95, 150)))
    return jitter(rng, (level, level, level), 5 + rng.randint(0, 20))


def shade(rng: Random, colour: str, *grounds: Rgb) -> Rgb:
    """A shade of a named colour that stands out from all these grounds; the plain one if twenty tries find none."""
    for _ in range(20):
        one = jitter(rng, rng.choice(SHADES[colour]), 8)
        if all(distance(one, ground) >= 150 for ground in grounds):
            return one
    return COLOURS[colour]


def colours_on(ground: Rgb) -> list[str]:
    """Names of the colours that stand out clearly from this background."""
    return [name for name, colour in COLOURS.items() if distance(colour, ground) >= 170]


def contrasting(rng: Random, min_luma_gap: int = 110) -> tuple[Rgb, Rgb]:
    """Colours of letters and paper with any tints, either one darker, and a strong difference in brightness."""
    while True:
        ink, paper = (tuple(rng.randint(0, 255) for _ in range(3)) for _ in range(2))
        if abs(luma(ink) - luma(paper)) >= min_luma_gap:  # type: ignore[arg-type]
            return ink, paper  # type: ignore[return-value]


def luma(colour: Rgb) -> float:
    """Perceived brightness, 0 to 255 (ITU-R BT.601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def noisy(rng: Random, image: Image.Image, spread: int) -> Image.Image:
    """The image with uniform integer noise of up to +-spread a channel (normal noise takes ten times as long)."""
    source = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(image).astype(np.int16)
    pixels += source.integers(-spread, spread + 1, size=pixels.shape, dtype=np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
