"""The font families of the drawn world and their split. Needed to draw text, never to run nano.

Look-alikes sit in one split (Carlito is drawn after Lato, Hack after DejaVu Sans Mono, FreeSans and Liberation Sans
after Helvetica), so that a test family is a new shape. Licences: FONTS.md beside this file.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from qwen2vl.common.errors import Qwen2VLError

FONT_ROOT = Path("/usr/share/fonts")
PACKAGES = (
    "fonts-dejavu-core fonts-liberation fonts-freefont-ttf fonts-open-sans fonts-roboto-unhinted fonts-roboto-slab "
    "fonts-lato fonts-crosextra-carlito fonts-crosextra-caladea fonts-quicksand fonts-linuxlibertine fonts-comfortaa "
    "fonts-hack fonts-inconsolata fonts-inter fonts-dosis fonts-oxygen fonts-tuffy fonts-cabin fonts-sil-gentium-basic "
    "fonts-firacode fonts-cantarell fonts-ebgaramond fonts-karla fonts-b612 fonts-noto-color-emoji"
)
INSTALL_LINE = f"apt-get install -y --no-install-recommends wamerican {PACKAGES}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One font file."""

    family: str
    file: str
    """File name; its folder differs between releases of Debian."""
    mono: bool = False


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


@lru_cache(maxsize=1)
def _installed() -> dict[str, Path]:
    return {path.name: path for path in sorted(FONT_ROOT.rglob("*")) if path.suffix in (".ttf", ".otf")}


def font_file(name: str) -> Path:
    """Where a font file of one of PACKAGES lies. Raises Qwen2VLError when it is not installed."""
    path = _installed().get(name)
    if path is None:
        raise Qwen2VLError(
            f"font file {name} was not found under {FONT_ROOT}: drawing items for training needs the fonts of the "
            f"drawn world; install them with: {INSTALL_LINE}"
        )
    return path


@lru_cache(maxsize=8)
def faces(split: str, mono: bool | None = None) -> tuple[Face, ...]:
    """The faces of a split; mono=True only fixed-width ones, False only proportional ones.

    Raises Qwen2VLError when a font file is not installed.
    """
    wanted = tuple(face for face in FACES[split] if mono is None or face.mono == mono)
    for face in wanted:
        font_file(face.file)
    return wanted


@lru_cache(maxsize=1024)
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The face at a size in pixels. The basic layout engine: the same pixels with and without libraqm."""
    return ImageFont.truetype(str(_installed()[face.file]), size, layout_engine=ImageFont.Layout.BASIC)
