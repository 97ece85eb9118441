"""Damage to images of text: uneven paper, blur, noise, resampling, JPEG.

Rotation is not here: only the letters are turned (reading.paragraphs), so that no corners of paper have to be invented.
"""

import io
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from drawn_world import palette


def uneven(rng: Random, image: Image.Image, spread: int) -> Image.Image:
    """The image with soft light and dark patches of about +-spread at most, like shadows or folds."""
    source = np.random.default_rng(rng.getrandbits(32))
    coarse = source.integers(128 - spread, 129 + spread, size=(rng.randint(2, 4), rng.randint(2, 5)), dtype=np.uint8)
    light = np.asarray(Image.fromarray(coarse).resize(image.size, Image.Resampling.BICUBIC), dtype=np.int16) - 128
    pixels = np.asarray(image).astype(np.int16) + light[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def damaged(rng: Random, image: Image.Image, letter_size: int) -> tuple[Image.Image, list[str]]:
    """The image with zero, one or two kinds of damage, and their names. Letters of this size in pixels stay legible."""
    kinds = rng.sample(("blur", "noise", "jpeg", "resample"), rng.choice((0, 0, 1, 1, 1, 2)))
    strength = min(1.0, letter_size / 24)  # large letters tolerate more
    for kind in kinds:
        if kind == "blur":
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * strength))
        elif kind == "noise":
            image = palette.noisy(rng, image, rng.randint(4, 10 + round(20 * strength)))
        elif kind == "jpeg":
            encoded = io.BytesIO()
            image.save(encoded, "JPEG", quality=rng.randint(round(55 - 35 * strength), 80))
            image = Image.open(encoded).convert("RGB")
        else:
            share = rng.uniform(1 - 0.5 * strength, 1)
            width, height = (max(1, round(side * share)) for side in image.size)
            smaller = image.resize((width, height), Image.Resampling.BILINEAR)
            image = smaller.resize(image.size, Image.Resampling.BICUBIC)
    return image, kinds
