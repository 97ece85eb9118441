"""A word written over a photograph: a transfer task, only for the exam.

    photo               licence
    astronaut           public domain (NASA)
    brick               CC0 (CC0Textures)
    camera              CC0 (Lav Varshney)
    chelsea             CC0 (Stefan van der Walt)
    clock_motion        public domain (Stefan van der Walt)
    coffee              CC0 (Rachel Michetti)
    grass               CC0 (CC0Textures)
    gravel              CC0 (CC0Textures)
    hubble_deep_field   public domain (NASA)
    rocket              public domain (SpaceX)

The photographs are files of the package scikit-image, which names these licences. The package is not imported, so its
dependencies are not needed. Fonts, words and wording are those of the test split.
"""

from functools import lru_cache
from random import Random

from PIL import Image

from drawn_world.fonts import faces
from drawn_world.item import Box, Item, image_item, text_truth
from drawn_world.reading.pictures import photo_folder
from drawn_world.reading.textures import write_over
from drawn_world.wording import ask
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "rocket.jpg",
)
SPLIT = "test"


def transfer_photo(rng: Random) -> Item:
    """Read a word on a part of a photograph. Raises Qwen2VLError when photographs, fonts or words are not installed."""
    name, face, word = rng.choice(PHOTOS), rng.choice(faces(SPLIT, mono=False)), pick_word(rng, SPLIT)
    widths = [width * FACTOR for width in range(3, 7) if width * FACTOR >= 14 * len(word)]
    size = rng.choice(widths), rng.randint(2, 3) * FACTOR
    image, cut = _cut(rng, _photo(name), size)
    margin = 4
    text_px = face.fit_size(word, int((size[0] - 4 * margin) * rng.uniform(0.75, 1)), int(size[1] * 0.6))
    wide, high = face.ink_size(text_px, word)
    x, y = (rng.randint(margin, side - extent - margin) for side, extent in zip(size, (wide, high), strict=True))
    box = (x, y, x + wide, y + high)
    edge = write_over(rng, image, face, text_px, word, box)
    scene = {"photo": name, "cut": list(cut), "word": word, "box_px": list(box), "family": face.family, "edge": edge}
    question = ask(rng, "read_word", 0.0, SPLIT)
    return image_item("transfer_photo", [image], question, word, text_truth(word, read=[word], scene=scene))


@lru_cache(maxsize=len(PHOTOS))
def _photo(name: str) -> Image.Image:
    with Image.open(photo_folder() / name) as opened:
        return opened.convert("RGB")


def _cut(rng: Random, photo: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, Box]:
    """A part of the photograph that has the shape of the image, reduced to its size; and its box on the photograph."""
    most = min(photo.width / size[0], photo.height / size[1])
    scale = rng.uniform(min(1.0, most), most)
    width, height = int(size[0] * scale), int(size[1] * scale)
    x, y = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
    cut = (x, y, x + width, y + height)
    return photo.resize(size, Image.Resampling.LANCZOS, box=cut), cut
