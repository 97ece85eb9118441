"""Pictures to write on: parts of photographs and drawn textures, and letters that stand out from them.

    photo                     package         licence
    coins                     scikit-image    no known restrictions (Brooklyn Museum)
    retina                    scikit-image    CC0 (M. Häggström)
    ihc                       scikit-image    no known restrictions (CMMI)
    cell                      scikit-image    CC0 (P. Müller)
    motorcycle_left, _right   scikit-image    none stated (Middlebury stereo data): read here, never passed on
    moon                      scikit-image    none stated: read here, never passed on
    grace_hopper              matplotlib      public domain (US Navy)

The photographs of the exam are others (transfer.words_on_photos). The packages are not imported, only their files are read.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from drawn_world.item import Size
from drawn_world.palette import COLOURS, Rgb, luma
from drawn_world.reading.textures import PATTERNS, texture
from qwen2vl.common.errors import Qwen2VLError

_SKIMAGE, _MATPLOTLIB = ("skimage", "data"), ("matplotlib", "mpl-data/sample_data")
PHOTOS: dict[str, tuple[tuple[tuple[str, str], str], ...]] = {
    "train": (
        (_SKIMAGE, "coins.png"),
        (_SKIMAGE, "motorcycle_left.png"),
        (_SKIMAGE, "motorcycle_right.png"),
        (_SKIMAGE, "ihc.png"),
        (_SKIMAGE, "cell.png"),
        (_MATPLOTLIB, "grace_hopper.jpg"),
    ),
    "val": ((_SKIMAGE, "moon.png"),),
    "test": ((_SKIMAGE, "retina.jpg"),),
}
"""Package and folder, and file, of the photographs of every split."""
LEAST_GAP = 90
"""Least difference in brightness between letters and what is behind them on average."""

LARGEST_TEXTURE = 20_000
"""Pixels of a texture that is drawn at full size."""


def photo_folder(package: str = "skimage", folder: str = "data") -> Path:
    """The folder of the photographs of a package. Raises Qwen2VLError with the install line."""
    found = find_spec(package)
    folders = found.submodule_search_locations if found else None
    if not folders:
        raise Qwen2VLError(
            f"the package {package} was not found: drawing words on photographs needs its photographs; install them with: "
            "pip install matplotlib && pip install --no-deps scikit-image"
        )
    return Path(folders[0]) / folder


@lru_cache(maxsize=8)
def _photo(place: tuple[str, str], name: str) -> Image.Image:
    with Image.open(photo_folder(*place) / name) as opened:
        return opened.convert("RGB")


def draw_picture(rng: Random, split: str, size: Size, ease: float) -> tuple[Image.Image, str]:
    """A part of a photograph, or a texture, of a size; and its name. Pictures are fainter the higher the ease."""
    faint = rng.uniform(0.05, 1) if rng.random() < ease else rng.uniform(0.4, 1)
    if rng.random() < 0.5:
        pattern = rng.choice(PATTERNS)
        # Textures cost up to 60 ms at full size, so large ones are drawn at half of it.
        drawn = size if size[0] * size[1] <= LARGEST_TEXTURE else (size[0] // 2, size[1] // 2)
        return texture(rng, drawn, pattern, faint).resize(size, Image.Resampling.BICUBIC), pattern
    place, name = rng.choice(PHOTOS[split])
    photo = _photo(place, name)
    most = min(photo.width / size[0], photo.height / size[1])
    scale = rng.uniform(min(0.4, most), most)
    width, height = size[0] * scale, size[1] * scale
    x, y = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    # A box of a photograph is first reduced by whole numbers: five times faster for large parts, and as good to the eye.
    cut = photo.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height), reducing_gap=2.0)
    return _other_light(rng, cut, faint), name


def _other_light(rng: Random, image: Image.Image, contrast: float) -> Image.Image:
    """The picture mirrored, recoloured, lighter or darker, so that a few photographs look like many."""
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.5:
        image = Image.merge("RGB", rng.sample(image.split(), 3))
    if rng.random() < 0.2:
        image = ImageOps.invert(image)
    image = ImageEnhance.Contrast(image).enhance(contrast * rng.uniform(0.7, 1.2))
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.5, 1.4))


def ink_over(rng: Random, image: Image.Image, mask: Image.Image, corner: tuple[int, int]) -> str:
    """Put letters on a picture so that they stand out; returns the kind of edge, "none" only on calm parts.

    mask: coverage of the letters. corner: its upper left corner on the image.
    """
    box = (*corner, corner[0] + mask.width, corner[1] + mask.height)
    behind = np.asarray(image.crop(box).convert("L"))
    ink = _ink(rng, float(behind.mean()))
    spread = float(behind.std())
    calm = spread < 30 and abs(luma(ink) - behind.mean()) > 2.5 * spread + 40
    edge = rng.choice(("none", "none", "outline", "shadow") if calm else ("outline", "outline", "shadow", "plate"))
    whole = Image.new("L", image.size)
    whole.paste(mask, corner)
    under = Image.new("L", image.size)
    if edge == "outline":
        under = _grown(whole, rng.randint(1, 2))
    elif edge == "shadow":
        under = _grown(whole, 3).filter(ImageFilter.GaussianBlur(1.5))
        under = ImageChops.lighter(under, _grown(whole, 1))
    elif edge == "plate":
        grow = rng.randint(2, 4)
        plate = (box[0] - grow, box[1] - grow, box[2] + grow - 1, box[3] + grow - 1)
        ImageDraw.Draw(under).rectangle(plate, fill=rng.randint(170, 255))
    image.paste((0, 0, 0) if luma(ink) > 127 else (255, 255, 255), (0, 0), under)
    image.paste(ink, (0, 0), whole)
    return edge


def _ink(rng: Random, behind: float) -> Rgb:
    """A colour of letters that is far from the mean brightness of what is behind them; half are colours with a name."""
    known = [colour for colour in COLOURS.values() if abs(luma(colour) - behind) >= LEAST_GAP]
    if known and rng.random() < 0.5:
        return rng.choice(known)
    for _ in range(20):
        free = rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)
        if abs(luma(free) - behind) >= LEAST_GAP:
            return free
    return COLOURS["white" if behind < 128 else "black"]


def _grown(mask: Image.Image, pixels: int) -> Image.Image:
    """The mask, wider by some pixels on every side."""
    for _ in range(pixels):
        for step in ((1, 0), (0, 1)):
            moved = [ImageChops.offset(mask, sign * step[0], sign * step[1]) for sign in (1, -1)]
            mask = ImageChops.lighter(ImageChops.lighter(mask, moved[0]), moved[1])
    return mask
