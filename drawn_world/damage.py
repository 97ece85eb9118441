"""What happens to images of text on their way: uneven paper, blur, noise, resampling, JPEG.

Not here: rotation, which is done to the letters alone (typesetting), so that no corners of paper have to be made up.
"""

import io
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from drawn_world import palette

KINDS = ("blur", "noise", "jpeg", "resample")


def uneven(rng: Random, image: Image.Image, spread: int) -> Image.Image:
    """The image with soft light and dark patches of at most about +-spread: shadows, folds, a glare."""
    source = np.random.default_rng(rng.getrandbits(32))
    coarse = source.integers(128 - spread, 129 + spread, size=(rng.randint(2, 4), rng.randint(2, 5)), dtype=np.uint8)
    light = np.asarray(Image.fromarray(coarse).resize(image.size, Image.Resampling.BICUBIC), dtype=np.int16) - 128
    pixels = np.asarray(image).astype(np.int16) + light[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def damaged(rng: Random, image: Image.Image, letter_size: int) -> tuple[Image.Image, list[str]]:
    """The image with none, one or two kinds of damage, and their names; letters stay legible at their size in pixels."""
    kinds = rng.sample(KINDS, rng.choice((0, 0, 1, 1, 1, 2)))
    for kind in kinds:
        image = _damage(rng, image, kind, min(1.0, letter_size / 24))
    return image, kinds


def _damage(rng: Random, image: Image.Image, kind: str, scale: float) -> Image.Image:
    """scale: 1 for letters that stand much, less for smaller ones."""
    if kind == "blur":
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * scale))
    if kind == "noise":
        return palette.noisy(rng, image, rng.randint(4, 10 + round(20 * scale)))
    if kind == "jpeg":
        return _jpeg(image, rng.randint(round(55 - 35 * scale), 80))
    share = rng.uniform(1 - 0.5 * scale, 1)
    smaller = [max(1, round(side * share)) for side in image.size]
    return image.resize((smaller[0], smaller[1]), Image.Resampling.BILINEAR).resize(
        image.size, Image.Resampling.BICUBIC
    )


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded).convert("RGB")
