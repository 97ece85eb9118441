"""Short films of shapes: the direction of a motion, and which of two came first or last."""

from random import Random

from PIL import Image

from qwen2vl.nano.world import palette
from qwen2vl.nano.world.item import Item, film_item, text_truth
from qwen2vl.nano.world.palette import Rgb
from qwen2vl.nano.world.scene_tasks import ask
from qwen2vl.nano.world.scenes import (
    Placed,
    Scene,
    apart,
    distinct_names,
    draw_scene,
    make_shape,
    moved,
    name_truths,
    scatter,
)
from qwen2vl.nano.world.wording import DIRECTIONS

SIZES = ((84, 84), (84, 84), (112, 84), (84, 112))
NUM_FRAMES = (6, 8)
MIN_TRAVEL = 26  # pixels over the whole film: nearly two patches


def _extent(rng: Random, ease: float) -> tuple[tuple[int, int], int]:
    """Size and number of frames; with probability `ease` always the smallest."""
    if ease and rng.random() < ease:
        return SIZES[0], NUM_FRAMES[0]
    return rng.choice(SIZES), rng.choice(NUM_FRAMES)


def motion(rng: Random, ease: float) -> Item:
    """One shape crosses the picture; in a third of the films another stands still."""
    (size, num_frames), direction = _extent(rng, ease), rng.choice(DIRECTIONS)
    ground = palette.background(rng, ease)
    (colour, kind), (other_colour, other_kind) = distinct_names(rng, 2, ground, distinct_kinds=True)
    mover = make_shape(rng, kind, colour, rng.randint(18, 32))
    path = _path(rng, size, mover, direction, num_frames)
    other = make_shape(rng, other_kind, other_colour, rng.randint(14, 24))
    still = _beside(rng, size, other, [moved(mover, x, y) for x, y in path]) if rng.random() < 0.33 else []
    frames = [_frame(size, ground, [*still, moved(mover, x, y)]) for x, y in path]
    thing = kind if still else rng.choice((kind, "shape", f"{colour} {kind}"))
    return film_item("motion", frames, ask(rng, "direction", ease, thing=thing), direction, text_truth(direction))


def _beside(rng: Random, size: tuple[int, int], shape: Placed, path: list[Placed]) -> list[Placed]:
    """The shape where the moving one never passes; nothing when ten tries found no such place."""
    width, height = shape.mask.size
    for _ in range(10):
        placed = moved(shape, rng.randint(0, size[0] - width), rng.randint(0, size[1] - height))
        if all(apart(placed.box_px, step.box_px) for step in path):
            return [placed]
    return []


def _path(rng: Random, size: tuple[int, int], shape: Placed, direction: str, num_frames: int) -> list[tuple[int, int]]:
    """Upper left corners: steady along the direction, up to six pixels of drift across it."""
    along = 0 if direction in ("left", "right") else 1
    extent = shape.mask.size
    room, room_across = size[along] - extent[along], size[1 - along] - extent[1 - along]
    travel = rng.randint(min(MIN_TRAVEL, room), room)
    start = rng.randint(0, room - travel)
    ends = (start, start + travel) if direction in ("right", "down") else (start + travel, start)
    across = rng.randint(0, room_across)
    across_end = min(room_across, max(0, across + rng.randint(-6, 6)))
    steps = [step / (num_frames - 1) for step in range(num_frames)]
    pairs = [(round(ends[0] + t * (ends[1] - ends[0])), round(across + t * (across_end - across))) for t in steps]
    return pairs if along == 0 else [(y, x) for x, y in pairs]


def _frame(size: tuple[int, int], ground: Rgb, placed: list[Placed]) -> Image.Image:
    return draw_scene(Scene(size=size, ground=ground, shapes=tuple(placed)))


def order(rng: Random, ease: float) -> Item:
    """Two shapes come one after the other, to stay or to flash; the second at least two frames later."""
    size, num_frames = _extent(rng, ease)
    ground = palette.background(rng, ease)
    scene = scatter(rng, size, distinct_names(rng, 2, ground), 20, 36, ground)
    first_at = rng.randint(0, num_frames - 4)
    second_at = rng.randint(first_at + 2, num_frames - 2)
    lasts = num_frames if rng.random() < 0.5 else 2
    frames = []
    for index in range(num_frames):
        visible = [s for s, at in zip(scene.shapes, (first_at, second_at), strict=True) if at <= index < at + lasts]
        frames.append(_frame(size, ground, visible))
    asked = rng.choice(("first", "last"))
    answer = scene.shapes[0 if asked == "first" else 1].name
    return film_item("order", frames, ask(rng, asked, ease), answer, text_truth(answer, *name_truths(answer)))
