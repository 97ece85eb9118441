"""Backgrounds of glyphs and films: one colour, or two colours mixed by a gradient or a pattern; held out by split.

Not here: what lies on them (glyph_scenes, video_scenes), and textures under words (reading.textures).
"""

from colorsys import hls_to_rgb
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drawn_world import palette
from drawn_world.item import Size
from drawn_world.palette import Rgb

HUES = {"train": ((0.0, 0.28), (0.45, 0.75)), "val": ((0.31, 0.36), (0.78, 0.86)), "test": ((0.38, 0.43), (0.88, 0.97))}
SHADES = {
    "train": ("plain", "plain", "plain", "down", "across", "radial", "stripes", "checks", "mottled"),
    "val": ("plain", "rising"),
    "test": ("plain", "falling"),
}
"""Gradients and patterns of two colours; plain backgrounds of different splits differ only in hue."""
GREY = -1.0
"""Hue of a background without one: the easy background, and white, grey or black in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The background of a scene."""

    shade: str
    """One of SHADES."""
    first: Rgb
    second: Rgb
    """Equal to `first` if the background is plain."""
    hue: float
    """Hue of both colours, 0 to 1, or GREY."""
    noise: int
    """Largest change of a channel by noise; 0 = none."""
    grain: int = 0
    """Width of a stripe or check in pixels, or the seed of the spots; 0 for gradients."""

    @property
    def colours(self) -> tuple[Rgb, Rgb]:
        """Both colours."""
        return self.first, self.second

    @property
    def clear_colours(self) -> list[str]:
        """Names of the colours of shapes that stand out from both colours."""
        second = set(palette.colours_on(self.second))
        return [name for name in palette.colours_on(self.first) if name in second]

    def facts(self) -> dict[str, object]:
        """The JSON form, complete enough to paint the background again, without its noise."""
        return {
            "shade": self.shade,
            "colours": [list(self.first), list(self.second)],
            "hue": self.hue,
            "noise": self.noise,
            "grain": self.grain,
        }


EASY = Ground(shade="plain", first=palette.EASY_GROUND, second=palette.EASY_GROUND, hue=GREY, noise=0)


def pick_ground(rng: Random, split: str, ease: float) -> Ground:
    """A light, dark or medium background in hues of the split; with probability `ease` the nearly white EASY.

    In training one in five has no hue, as the white, grey and black backgrounds that other programs draw.
    """
    if ease and rng.random() < ease:
        return EASY
    shade, hue = rng.choice(SHADES[split]), rng.uniform(*rng.choice(HUES[split]))
    light = rng.choice((rng.uniform(0.8, 0.97), rng.uniform(0.8, 0.97), rng.uniform(0.05, 0.25), rng.uniform(0.4, 0.6)))
    colourful = rng.uniform(0.1, 0.6)
    if split == "train" and rng.random() < 0.2:
        hue, colourful, light = GREY, 0.0, rng.choice((1.0, 1.0, 0.0, light))
    other = light + rng.choice((-1, 1)) * rng.uniform(0.08, 0.2)
    first = _rgb(hue, light, colourful)
    second = first if shade == "plain" else _rgb(hue, min(0.98, max(0.02, other)), colourful)
    noise = rng.randint(2, 9) if rng.random() < 0.25 else 0
    grain = rng.randint(6, 60) if shade in ("stripes", "checks", "mottled") else 0
    return Ground(shade=shade, first=first, second=second, hue=hue, noise=noise, grain=grain)


def _rgb(hue: float, light: float, colourful: float) -> Rgb:
    red, green, blue = (round(255 * channel) for channel in hls_to_rgb(max(hue, 0.0), light, colourful))
    return red, green, blue


def paint(ground: Ground, size: Size) -> Image.Image:
    """The background without its noise."""
    image = Image.new("RGB", size, ground.first)
    if ground.shade != "plain":
        image.paste(ground.second, (0, 0), _share(ground.shade, size, ground.grain))
    return image


@lru_cache(maxsize=512)
def _share(shade: str, size: Size, grain: int) -> Image.Image:
    """Coverage of the second colour, 8 bits a pixel."""
    if shade == "mottled":
        cells = np.random.default_rng(grain).integers(0, 256, (3 + grain % 6, 3 + grain % 6), dtype=np.uint8)
        return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)
    share = _gradient(shade, size) if not grain else _pattern(shade, size, grain)
    return Image.fromarray((share * 255).round().astype(np.uint8))


def _gradient(shade: str, size: Size) -> NDArray[np.float64]:
    across, down = np.meshgrid(*(np.linspace(0, 1, side) for side in size))
    if shade == "radial":
        return (np.hypot(across - 0.5, down - 0.5) / 0.71).clip(0, 1)
    shares: dict[str, NDArray[np.float64]] = {
        "down": down,
        "across": across,
        "rising": (across + 1 - down) / 2,
        "falling": (across + down) / 2,
    }
    return shares[shade]


def _pattern(shade: str, size: Size, grain: int) -> NDArray[np.bool_]:
    """Checks, or stripes in one of four directions."""
    across, down = (np.arange(side) for side in size)
    columns, rows = across[None, :], down[:, None]
    if shade == "checks":
        return (columns // grain + rows // grain) % 2 == 1
    along = (columns + 0 * rows, rows + 0 * columns, columns + rows, columns - rows)[grain % 4]
    return along // grain % 2 == 1
