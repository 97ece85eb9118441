"""Films: videos of shapes and glyphs in many looks, sizes and backgrounds. A film gives the place of each actor in every frame.

Frames and truths both come from the description; truth["scene"] has its JSON form. Not here: questions about films
(film_lessons), and the smaller videos of the scored tasks (motion, video_scenes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image, ImageFilter

from drawn_world import palette
from drawn_world.glyphs.emoji import pick_names, raster
from drawn_world.glyphs.grounds import EASY, Ground, paint, pick_ground
from drawn_world.item import Box, Size
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds
from drawn_world.shapes.shape_scenes import apart
from qwen2vl.spec.config import FACTOR

LOOKS = ("smooth", "smooth", "hard", "soft", "rimmed")
"""How the edges of shapes are drawn: anti-aliased, in whole pixels, blurred, or with a rim."""
MAX_TOKENS = 256
"""Most visual tokens of a film; two frames share theirs."""
FRAMES = (2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16)
EASY_EXTENT: tuple[Size, int] = ((3 * FACTOR, 3 * FACTOR), 6)
LARGEST, SMALLEST = 120, 12  # pixels of an actor
Step = tuple[int, int, int]
"""Left edge, top edge and longer side of an actor in one frame, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """What one thing of a film looks like."""

    kind: str
    """One of kinds.KINDS, or the name of a glyph."""
    colour: str
    """Name of the colour; "" for a glyph, which has colours of its own."""
    rgb: Rgb
    turn: int
    """Rotation of a shape in degrees."""
    look: str
    """One of LOOKS, or "glyph"."""

    @property
    def name(self) -> str:
        """Colour and kind, for example "red circle", or the name of a glyph."""
        return f"{self.colour} {self.kind}".strip()

    def layers(self, side: int) -> list[tuple[Rgb | Image.Image, Image.Image]]:
        """What to paste and where it covers, in order; all masks have the same size."""
        if self.look == "glyph":
            return [(raster(self.kind, side),) * 2]
        mask = _mask(self.kind, side, self.turn, self.look)
        if self.look != "rimmed" or self.kind == "ring" or side < 30:  # the rim would hide the colour
            return [(self.rgb, mask)]
        rim = (20, 20, 20) if palette.luma(self.rgb) > 100 else (235, 235, 235)
        return [(rim, mask), (self.rgb, _inside(self.kind, side, self.turn))]

    def extent(self, side: int) -> Size:
        """Width and height in pixels."""
        return self.layers(side)[0][1].size

    def facts(self) -> dict[str, Any]:
        """The JSON form."""
        return {"kind": self.kind, "colour": self.colour, "rgb": list(self.rgb), "turn": self.turn, "look": self.look}


@lru_cache(maxsize=4096)
def _mask(kind: str, side: int, turn: int, look: str) -> Image.Image:
    mask = kinds.mask(kind, side, turn)
    if look == "hard":
        return mask.point(lambda cover: 255 if cover >= 128 else 0)
    return mask.filter(ImageFilter.GaussianBlur(0.8)) if look == "soft" else mask


@lru_cache(maxsize=1024)
def _inside(kind: str, side: int, turn: int) -> Image.Image:
    """Coverage of the shape without a rim of one or two pixels."""
    mask = kinds.mask(kind, side, turn)
    framed = Image.new("L", (mask.width + 6, mask.height + 6))
    framed.paste(mask, (3, 3))
    inner = framed.filter(ImageFilter.MinFilter(3 if side < 40 else 5))
    return inner.crop((3, 3, framed.width - 3, framed.height - 3))


Part = tuple[Actor, tuple[Step | None, ...]]
"""An actor and its place in every frame; None where it is not visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """The description of one film."""

    size: Size
    ground: Ground
    num_frames: int
    noise: int
    """Largest change of a channel by the noise of the camera, which is new in every frame; 0 = none."""
    parts: tuple[Part, ...]
    """Later ones cover earlier ones."""

    def facts(self) -> dict[str, Any]:
        """The JSON form, complete enough to draw the film again, without noise."""
        things = [
            {"name": actor.name, **actor.facts(), "steps": [step and list(step) for step in steps]}
            for actor, steps in self.parts
        ]
        return {
            "size": list(self.size),
            "ground": self.ground.facts(),
            "num_frames": self.num_frames,
            "noise": self.noise,
            "things": things,
        }

    def frames(self, rng: Random) -> list[Image.Image]:
        """The frames; equal ones are the same Image object. `rng` is used for noise only."""
        empty, drawn = paint(self.ground, self.size), {}
        frames = []
        for index in range(self.num_frames):
            steps = tuple(places[index] for _, places in self.parts)
            if steps not in drawn:
                drawn[steps] = self._frame(empty.copy(), steps)
            frames.append(palette.noisy(rng, drawn[steps], self.noise) if self.noise else drawn[steps])
        return frames

    def _frame(self, image: Image.Image, steps: Sequence[Step | None]) -> Image.Image:
        for (actor, _), step in zip(self.parts, steps, strict=True):
            if step:
                for colour, mask in actor.layers(step[2]):
                    image.paste(colour, step[:2], mask)
        return image


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSetting:
    """Where a film takes place, chosen before its actors."""

    size: Size
    num_frames: int
    ground: Ground
    noise: int

    def film(self, parts: Sequence[Part]) -> Film:
        """The film with these actors."""
        return Film(
            size=self.size, ground=self.ground, num_frames=self.num_frames, noise=self.noise, parts=tuple(parts)
        )

    def side(self, rng: Random, ease: float, share: float = 0.45) -> int:
        """A side of an actor, at most a share of the image; small ones as often as large ones."""
        if rng.random() < ease:
            return FACTOR - 3
        least = max(SMALLEST, min(self.size) // 12)
        most = max(least + 4, min(LARGEST, int(min(self.size) * share)))
        return round(least * (most / least) ** rng.random())


def choose_setting(rng: Random, split: str, ease: float, least: int = 2) -> FilmSetting:
    """Size, frames and background; with probability `ease` each is the easiest. least: smallest number of frames."""
    (size, num_frames), ground = EASY_EXTENT, EASY
    if rng.random() >= ease:
        num_frames = rng.choice([count for count in FRAMES if count >= least])
        most = MAX_TOKENS // (1 + rng.randint(0, 1)) // -(-num_frames // 2)
        area = rng.uniform(9, max(9, min(144, most)))
        width = max(3, min(12, round((area * rng.uniform(0.5, 2)) ** 0.5)))
        size = width * FACTOR, max(3, min(12, int(area / width))) * FACTOR
        if rng.random() < 0.2:  # not a multiple of a visual token
            size = size[0] - rng.randint(0, 13), size[1] - rng.randint(0, 13)
    while True:
        ground = pick_ground(rng, split, ease)
        if len(ground.clear_colours) >= 4:
            break
    noise = rng.randint(2, 8) if rng.random() < 0.15 * (1 - ease) else 0
    return FilmSetting(size=size, num_frames=max(num_frames, least), ground=ground, noise=noise)


def cast(rng: Random, ease: float, ground: Ground, count: int) -> list[Actor]:
    """Actors of different kinds, and shapes of different colours: all shapes in one look, or all glyphs."""
    if rng.random() < 0.25 * (1 - ease):
        names = pick_names(rng, count, ease, ground.colours)
        return [Actor(kind=name, colour="", rgb=(0, 0, 0), turn=0, look="glyph") for name in names]
    look = "smooth" if rng.random() < ease else rng.choice(LOOKS)
    pairs = zip(rng.sample(ground.clear_colours, count), rng.sample(kinds.KINDS, count), strict=True)
    return [shape_actor(rng, kind, colour, look) for colour, kind in pairs]


def shape_actor(rng: Random, kind: str, colour: str, look: str) -> Actor:
    """A shape near this colour, in a random rotation of its kind."""
    rgb, turn = palette.jitter(rng, palette.COLOURS[colour]), rng.choice(kinds.TURNS.get(kind, (0,)))
    return Actor(kind=kind, colour=colour, rgb=rgb, turn=turn, look=look)


def box_of_step(actor: Actor, step: Step) -> Box:
    """The box of an actor in one frame."""
    x, y, side = step
    width, height = actor.extent(side)
    return x, y, x + width, y + height


def free_step(rng: Random, size: Size, actor: Actor, side: int, taken: Sequence[Box], gap: int = 3) -> Step | None:
    """A random place inside the image that keeps a gap to boxes; None if 20 tries find none."""
    width, height = actor.extent(side)
    for _ in range(20 if width < size[0] and height < size[1] else 0):
        x, y = rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)
        if all(apart((x, y, x + width, y + height), other, gap) for other in taken):
            return x, y, side
    return None


def settle(rng: Random, setting: FilmSetting, ease: float, actors: Sequence[Actor]) -> list[Step]:
    """A place for each actor, apart from each other; all shrink until they fit."""
    share = 0.5 if len(actors) == 1 else 0.4
    while True:
        steps: list[Step] = []
        for actor in actors:
            taken = [box_of_step(other, step) for other, step in zip(actors, steps, strict=False)]
            step = free_step(rng, setting.size, actor, setting.side(rng, ease, share), taken)
            if step is None:
                break
            steps.append(step)
        if len(steps) == len(actors):
            return steps
        share, ease = max(0.05, share * 0.85), 0.0
