"""Images of things from a colour emoji font: the table of names, and the rasters. Needed to draw, never to run nano.

Each glyph is one code point with one name, so that every build of the font renders it without shaping. Not here: scenes
of glyphs (glyph_scenes) and questions about them (glyph_tasks).
"""

from functools import lru_cache
from itertools import pairwise
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drawn_world.fonts import font_file
from drawn_world.palette import Rgb

FONT = "NotoColorEmoji.ttf"
NOMINAL = 109  # the font is bitmaps of this one size

# In order of how easy they are to distinguish: easier items use the first ones.
# fmt: off
EMOJI: dict[str, str] = {
    "dog": "🐶", "cat": "🐱", "apple": "🍎", "car": "🚗", "heart": "❤", "key": "🔑", "tree": "🌳", "sun": "☀",
    "star": "⭐", "fish": "🐟", "house": "🏠", "banana": "🍌", "bell": "🔔", "rose": "🌹", "umbrella": "☂",
    "rocket": "🚀", "bus": "🚌", "clock": "⏰", "book": "📕", "pizza": "🍕", "frog": "🐸", "pig": "🐷",
    "ball": "⚽", "plane": "✈", "moon": "🌙", "bird": "🐦", "cow": "🐮", "bear": "🐻", "lion": "🦁",
    "horse": "🐴", "rabbit": "🐰", "mouse": "🐭", "monkey": "🐵", "penguin": "🐧", "owl": "🦉", "bee": "🐝",
    "butterfly": "🦋", "snail": "🐌", "spider": "🕷", "turtle": "🐢", "snake": "🐍", "octopus": "🐙",
    "crab": "🦀", "whale": "🐳", "elephant": "🐘", "sheep": "🐑", "pear": "🍐", "orange": "🍊", "lemon": "🍋",
    "cherry": "🍒", "strawberry": "🍓", "pineapple": "🍍", "carrot": "🥕", "mushroom": "🍄", "burger": "🍔",
    "donut": "🍩", "cake": "🎂", "train": "🚂", "truck": "🚚", "bicycle": "🚲", "helicopter": "🚁", "ship": "🚢",
    "anchor": "⚓", "lock": "🔒", "gift": "🎁", "balloon": "🎈", "crown": "👑", "hat": "🎩", "shoe": "👟",
    "shirt": "👕", "dress": "👗", "bulb": "💡", "camera": "📷", "guitar": "🎸", "drum": "🥁", "hammer": "🔨",
    "pencil": "✏", "fox": "🦊", "panda": "🐼", "tiger": "🐯", "chicken": "🐔", "duck": "🦆", "ant": "🐜",
    "shark": "🦈", "camel": "🐪", "dinosaur": "🦕", "bat": "🦇", "parrot": "🦜", "giraffe": "🦒", "zebra": "🦓",
    "watermelon": "🍉", "kiwi": "🥝", "avocado": "🥑", "pepper": "🌶", "egg": "🥚", "cheese": "🧀",
    "pretzel": "🥨", "lollipop": "🍭", "beer": "🍺", "wine": "🍷", "tractor": "🚜", "boat": "⛵", "boot": "👢",
    "backpack": "🎒", "gem": "💎", "phone": "📱", "laptop": "💻", "television": "📺", "watch": "⌚",
    "battery": "🔋", "magnet": "🧲", "gear": "⚙", "envelope": "✉", "trophy": "🏆", "trumpet": "🎺",
    "piano": "🎹", "microphone": "🎤", "dice": "🎲", "robot": "🤖", "ghost": "👻", "skull": "💀", "bomb": "💣",
    "fire": "🔥", "snowflake": "❄", "cloud": "☁", "rainbow": "🌈", "drop": "💧", "volcano": "🌋", "tent": "⛺",
    "cactus": "🌵", "taco": "🌮", "leaf": "🍁", "clover": "🍀", "globe": "🌍", "flag": "🚩", "door": "🚪",
    "chair": "🪑", "bed": "🛏", "eye": "👁", "hand": "✋", "mouth": "👄", "target": "🎯", "castle": "🏰",
    "pill": "💊", "snowman": "⛄", "pumpkin": "🎃", "sunflower": "🌻", "tulip": "🌷", "kite": "🪁",
    "ladybug": "🐞",
}
# fmt: on
NAMES = tuple(EMOJI)


def names_at(ease: float) -> tuple[str, ...]:
    """The kinds that an item of this ease may show: 24 at ease 1, 75 at 0.5, all at 0, interpolated between."""
    for (easier, fewer), (harder, more) in pairwise(((1.0, 24), (0.5, 75), (0.0, len(NAMES)))):
        if ease >= harder:
            return NAMES[: fewer + round((easier - ease) / (easier - harder) * (more - fewer))]
    raise ValueError(f"ease {ease} is below 0")


def plural(name: str) -> str:
    """The plural of a name: dogs, buses, cherries, leaves."""
    irregular = {"fish": "fish", "sheep": "sheep", "mouse": "mice", "leaf": "leaves", "dice": "dice"}
    if name in irregular:
        return irregular[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2] not in "aeiou" else f"{name}s"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_file(FONT)), NOMINAL, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=256)
def _full_size(name: str) -> Image.Image:
    canvas = Image.new("RGBA", (2 * NOMINAL, 2 * NOMINAL))
    ImageDraw.Draw(canvas).text((NOMINAL // 4, NOMINAL // 4), EMOJI[name], font=_font(), embedded_color=True)
    return _cut(canvas)


@lru_cache(maxsize=2048)  # about 25 KB each
def raster(name: str, side: int) -> Image.Image:
    """The glyph as RGBA, its longer side about `side` pixels, cropped to its pixels. Cached: do not draw on it.

    Raises Qwen2VLError when the font is not installed.
    """
    full = _full_size(name)
    scale = side / max(full.size)
    width, height = (max(1, round(extent * scale)) for extent in full.size)
    small = full.resize((width, height), Image.Resampling.BICUBIC)
    return _cut(small)


def _cut(image: Image.Image) -> Image.Image:
    """The image without its faint pixels, cropped to the others: some glyphs have a halo that eyes do not see."""
    solid = image.getchannel("A").point(lambda cover: cover if cover >= 40 else 0)
    image.putalpha(solid)
    return image.crop(solid.getbbox())


@lru_cache(maxsize=256)
def _sample(name: str) -> np.ndarray:
    """Colours of the solid pixels of a glyph of 16 pixels a side, int16 [pixels, 3]."""
    pixels = np.asarray(raster(name, 16)).reshape(-1, 4).astype(np.int16)
    return pixels[pixels[:, 3] > 127, :3]


def stands_out(name: str, ground: Rgb) -> bool:
    """Whether 40 % of a glyph's pixels differ clearly from a background; those of a cloud do not on white."""
    differs = np.abs(_sample(name) - np.array(ground, dtype=np.int16)).sum(axis=1) >= 80
    return bool(differs.mean() >= 0.4)


def pick_names(rng: Random, count: int, ease: float, grounds: tuple[Rgb, ...]) -> list[str]:
    """Different kinds that all stand out from every colour of the background."""
    pool = names_at(ease)
    picked: list[str] = []
    while len(picked) < count:
        name = rng.choice(pool)
        if name not in picked and all(stands_out(name, ground) for ground in grounds):
            picked.append(name)
    return picked
