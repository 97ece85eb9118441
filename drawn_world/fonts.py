"""The font families of the drawn world, their split, and single lines of text. Needed to draw text, never to run nano.

Families that look alike are in one split (Carlito has the shapes of Lato, Hack those of DejaVu Sans Mono, FreeSans and
Liberation Sans those of Helvetica), so that the families of the test split have shapes that training never shows.
Licences: FONTS.md beside this file.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from drawn_world.item import Box
from drawn_world.palette import Rgb
from qwen2vl.common.errors import Qwen2VLError

FONT_ROOT = Path("/usr/share/fonts")
INSTALL_LINE = (
    "apt-get install -y --no-install-recommends wamerican "
    "fonts-dejavu-core fonts-liberation fonts-freefont-ttf fonts-open-sans fonts-roboto-unhinted fonts-roboto-slab "
    "fonts-lato fonts-crosextra-carlito fonts-crosextra-caladea fonts-quicksand fonts-linuxlibertine fonts-comfortaa "
    "fonts-hack fonts-inconsolata fonts-inter fonts-dosis fonts-oxygen fonts-tuffy fonts-cabin fonts-sil-gentium-basic "
    "fonts-firacode fonts-cantarell fonts-ebgaramond fonts-karla fonts-b612 fonts-noto-color-emoji "
    "fonts-kacst fonts-hosny-amiri culmus fonts-vlgothic fonts-ipafont-mincho fonts-ipafont-gothic fonts-baekmuk "
    "fonts-wqy-microhei fonts-arphic-gbsn00lp fonts-wqy-zenhei"
)
SIZES = (*range(8, 20), *range(20, 64, 2))
"""Letter sizes in pixels. They are few, so that the cache of loaded fonts stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One font file. Sizes are in pixels."""

    family: str
    file: str
    """File name; its folder differs between releases of Debian."""
    mono: bool = False
    """Whether all letters have the same width."""

    @property
    def css_name(self) -> str:
        """The font family by which the pages of a browser name this file."""
        return self.file.rsplit(".", 1)[0]

    @lru_cache(maxsize=1024)  # noqa: B019  the few faces live as long as the process
    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at a size. The basic layout engine gives the same pixels with and without libraqm."""
        return ImageFont.truetype(str(_installed()[self.file]), size, layout_engine=ImageFont.Layout.BASIC)

    @lru_cache(maxsize=1024)  # noqa: B019
    def line_edges(self, size: int) -> tuple[int, int]:
        """Top and bottom edge of a line below the drawing origin. They hold every letter and do not depend on the text."""
        box = self.at(size).getbbox("Agbdpy")
        return int(box[1]), int(box[3])

    def has(self, letters: str) -> bool:
        """Whether the font has a glyph for every letter: a missing one is drawn like U+FFFF, which no font has."""
        font = self.at(24)
        missing = bytes(font.getmask("\uffff"))
        return all(bytes(font.getmask(letter)) not in (missing, b"") for letter in letters)

    def ink_size(self, size: int, text: str) -> tuple[int, int]:
        """Width of the ink, and height of a line."""
        left, _, right, _ = self.at(size).getbbox(text)
        top, bottom = self.line_edges(size)
        return int(right - left), bottom - top

    def fit_size(self, text: str, width: int, height: int) -> int:
        """The largest of SIZES at which the text fits into a width and a line into a height; the smallest if none does."""
        nominal = 32  # widths grow in proportion to the size, so one measurement is enough
        left, _, right, _ = self.at(nominal).getbbox(text)
        top, bottom = self.line_edges(nominal)
        limit = nominal * min(width / (right - left), height / (bottom - top))
        return max((size for size in SIZES if size <= limit), default=SIZES[0])

    def line_mask(self, size: int, text: str) -> Image.Image:
        """Coverage of one line, 0 to 255, as wide as its ink and at least as high as a line."""
        font = self.at(size)
        left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
        line_top, line_bottom = self.line_edges(size)
        top, bottom = min(top, line_top), max(bottom, line_bottom)  # some characters are higher or deeper than letters
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=255)
        inked = mask.getbbox() or (0, 0, right - left, 0)  # the font's box includes the space beside the letters
        return mask.crop((inked[0], 0, inked[2], bottom - top))

    def write(self, image: Image.Image, size: int, text: str, corner: tuple[int, int], ink: Rgb) -> Box:
        """Draw the text with the upper left corner of its line at a pixel; returns the box of the line."""
        left = int(self.at(size).getbbox(text)[0])
        top, _ = self.line_edges(size)
        ImageDraw.Draw(image).text((corner[0] - left, corner[1] - top), text, font=self.at(size), fill=ink)
        width, height = self.ink_size(size, text)
        return corner[0], corner[1], corner[0] + width, corner[1] + height


def _faces(family: str, *files: str, mono: bool = False) -> tuple[Face, ...]:
    return tuple(Face(family=family, file=file, mono=mono) for file in files)


FACES: dict[str, tuple[Face, ...]] = {
    "train": (
        *_faces("DejaVu Sans", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
        *_faces("DejaVu Serif", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
        *_faces("DejaVu Sans Mono", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", mono=True),
        *_faces("Liberation Sans", "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
        *_faces("Liberation Serif", "LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
        *_faces("Liberation Mono", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf", mono=True),
        *_faces("FreeSans", "FreeSans.ttf", "FreeSansBold.ttf"),
        *_faces("FreeSerif", "FreeSerif.ttf", "FreeSerifBold.ttf"),
        *_faces("FreeMono", "FreeMonoBold.ttf", mono=True),
        *_faces("Open Sans", "OpenSans-Regular.ttf", "OpenSans-Bold.ttf"),
        *_faces("Roboto", "Roboto-Regular.ttf", "Roboto-Bold.ttf"),
        *_faces("Roboto Slab", "RobotoSlab-Regular.otf", "RobotoSlab-Bold.otf"),
        *_faces("Lato", "Lato-Regular.ttf", "Lato-Bold.ttf"),
        *_faces("Carlito", "Carlito-Regular.ttf", "Carlito-Bold.ttf"),
        *_faces("Caladea", "Caladea-Regular.ttf", "Caladea-Bold.ttf"),
        *_faces("Quicksand", "Quicksand-Regular.ttf", "Quicksand-Bold.ttf"),
        *_faces("Linux Libertine", "LinLibertine_R.otf", "LinLibertine_RB.otf"),
        *_faces("Linux Biolinum", "LinBiolinum_R.otf", "LinBiolinum_RB.otf"),
        *_faces("Comfortaa", "Comfortaa-Regular.ttf", "Comfortaa-Bold.ttf"),
        *_faces("Hack", "Hack-Regular.ttf", "Hack-Bold.ttf", mono=True),
        *_faces("Inconsolata", "Inconsolata.otf", mono=True),
        *_faces("Inter", "Inter-Regular.otf", "Inter-Bold.otf"),
        *_faces("Dosis", "Dosis-Medium.otf", "Dosis-Bold.otf"),
        *_faces("Oxygen", "Oxygen-Sans.ttf", "Oxygen-Sans-Bold.ttf"),
    ),
    "val": (
        *_faces("Cabin", "Cabin-Regular.otf", "Cabin-Bold.otf"),
        *_faces("Gentium Basic", "GenBasR.ttf", "GenBasB.ttf"),
        *_faces("Tuffy", "Tuffy.ttf", "Tuffy_Bold.ttf"),
        *_faces("Fira Code", "FiraCode-Regular.ttf", "FiraCode-Bold.ttf", mono=True),
    ),
    "test": (
        *_faces("Cantarell", "Cantarell-Regular.otf", "Cantarell-Bold.otf"),
        *_faces("EB Garamond", "EBGaramond12-Regular.otf", "EBGaramond12-Bold.otf"),
        *_faces("Karla", "Karla-Regular.otf", "Karla-Bold.otf"),
        *_faces("B612", "B612-Regular.otf", "B612-Bold.otf"),
        *_faces("B612 Mono", "B612Mono-Regular.otf", mono=True),
    ),
}

LANGUAGE_FACES: dict[str, tuple[Face, ...]] = {
    "train": (
        *_faces("Kacst Book", "KacstBook.ttf"),
        *_faces("Kacst Naskh", "KacstNaskh.ttf"),
        *_faces("Kacst Title", "KacstTitle.ttf"),
        *_faces("Kacst Poster", "KacstPoster.ttf"),
        *_faces("Kacst Screen", "KacstScreen.ttf"),
        *_faces("Kacst Pen", "KacstPen.ttf"),
        *_faces("Miriam", "MiriamCLM-Book.ttf", "MiriamCLM-Bold.ttf"),
        *_faces("Nachlieli", "NachlieliCLM-Light.otf", "NachlieliCLM-Bold.otf"),
        *_faces("Hadasim", "HadasimCLM-Regular.ttf", "HadasimCLM-Bold.ttf"),
        *_faces("Simple", "SimpleCLM-Medium.ttf", "SimpleCLM-Bold.ttf"),
        *_faces("VL Gothic", "VL-PGothic-Regular.ttf"),
        *_faces("IPA Mincho", "ipamp.ttf"),
        *_faces("Baekmuk Batang", "batang.ttf"),
        *_faces("Baekmuk Dotum", "dotum.ttf"),
        *_faces("Baekmuk Headline", "hline.ttf"),
        *_faces("WenQuanYi Micro Hei", "wqy-microhei.ttc"),
        *_faces("AR PL SungtiL", "gbsn00lp.ttf"),
    ),
    "val": (
        *_faces("Kacst Office", "KacstOffice.ttf"),
        *_faces("Keter YG", "KeterYG-Medium.ttf", "KeterYG-Bold.ttf"),
    ),
    "test": (
        *_faces("Amiri", "Amiri-Regular.ttf", "Amiri-Bold.ttf"),
        *_faces("Frank Ruehl", "FrankRuehlCLM-Medium.ttf", "FrankRuehlCLM-Bold.ttf"),
        *_faces("David", "DavidCLM-Medium.otf", "DavidCLM-Bold.otf"),
        *_faces("IPA Gothic", "ipagp.ttf"),
        *_faces("Baekmuk Gulim", "gulim.ttf"),
        *_faces("WenQuanYi Zen Hei", "wqy-zenhei.ttc"),
    ),
}
"""Faces for languages that few of FACES have. Few families of Japanese, Korean and Chinese are small: val has none of its own."""


@lru_cache(maxsize=1)
def _installed() -> dict[str, Path]:
    """File name to path of every installed font."""
    return {path.name: path for path in sorted(FONT_ROOT.rglob("*")) if path.suffix in (".ttf", ".otf", ".ttc")}


def font_file(name: str) -> Path:
    """Path of a font file. Raises Qwen2VLError with the install line when it is not installed."""
    path = _installed().get(name)
    if path is None:
        raise Qwen2VLError(
            f"font file {name} was not found under {FONT_ROOT}: drawing items for training needs the fonts of the "
            f"drawn world; install them with: {INSTALL_LINE}"
        )
    return path


@lru_cache(maxsize=8)
def faces(split: str, mono: bool | None = None) -> tuple[Face, ...]:
    """The faces of a split. mono: True for fixed-width faces only, False for proportional ones only.

    Raises Qwen2VLError when a font file is not installed.
    """
    wanted = tuple(face for face in FACES[split] if mono is None or face.mono == mono)
    for face in wanted:
        font_file(face.file)
    return wanted


@lru_cache(maxsize=64)
def faces_with(split: str, letters: str, *, latin: bool) -> tuple[Face, ...]:
    """The faces of a split that have all of some letters; those of training if the split has none.

    latin: False also takes LANGUAGE_FACES; their Latin, Greek and Cyrillic letters are as wide as Chinese ones in many.
    Raises Qwen2VLError when a font file is not installed.
    """
    for face in (known := FACES[split] + (() if latin else LANGUAGE_FACES[split])):
        font_file(face.file)
    return tuple(face for face in known if face.has(letters)) or faces_with("train", letters, latin=latin)
