"""Short videos of shapes: the direction of a motion, and which of two shapes comes first or last; and lessons on both."""

from random import Random

from PIL import Image

from drawn_world import palette
from drawn_world.item import Item, point_answer, text_truth, video_item
from drawn_world.palette import Rgb
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    apart,
    distinct_names,
    draw_scene,
    in_cell,
    make_shape,
    moved,
    name_truths,
    scatter,
)
from drawn_world.task import Task, without_split
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR

DIRECTIONS = ("left", "right", "up", "down")
SIZES = ((84, 84), (84, 84), (112, 84), (84, 112))


def _extent(rng: Random, ease: float) -> tuple[tuple[int, int], int]:
    """Size and number of frames of a video; with probability `ease` the smallest."""
    if ease and rng.random() < ease:
        return SIZES[0], 6
    return rng.choice(SIZES), rng.choice((6, 8))


def motion(rng: Random, ease: float) -> Item:
    """The direction in which a shape moves; in a third of the videos another shape does not move."""
    (size, num_frames), direction = _extent(rng, ease), rng.choice(DIRECTIONS)
    ground = palette.background(rng, ease)
    (colour, kind), (other_colour, other_kind) = distinct_names(rng, 2, ground, distinct_kinds=True)
    mover = make_shape(rng, kind, colour, rng.randint(18, 32))
    path = _path(rng, size, mover, direction, num_frames)
    other = make_shape(rng, other_kind, other_colour, rng.randint(14, 24))
    still = _beside(rng, size, other, [moved(mover, x, y) for x, y in path]) if rng.random() < 0.33 else []
    frames = [_frame(size, ground, [*still, moved(mover, x, y)]) for x, y in path]
    thing = kind if still else rng.choice((kind, "shape", f"{colour} {kind}"))
    return video_item("motion", frames, ask(rng, "direction", ease, thing=thing), direction, text_truth(direction))


def track(rng: Random, ease: float) -> Item:
    """The centre of the moving shape in every temporal step, as points: a lesson on motion."""
    aligned = rng.random() < ease
    size, num_frames = _extent(rng, ease)
    ground = palette.background(rng, ease)
    colour, kind = distinct_names(rng, 1, ground)[0]
    mover = make_shape(rng, kind, colour, FACTOR - 3 if aligned else rng.randint(18, 32))
    if aligned:
        path = _cells(rng, size, mover, num_frames)
    else:
        path = [moved(mover, x, y) for x, y in _path(rng, size, mover, rng.choice(DIRECTIONS), num_frames)]
    frames = [_frame(size, ground, [step]) for step in path]
    answer = "\n".join(point_answer(step.box_px, size) for step in path[1::2])
    return video_item("track", frames, ask(rng, "track", ease, thing="shape"), answer, text_truth(answer))


def _cells(rng: Random, size: tuple[int, int], mover: Placed, num_frames: int) -> list[Placed]:
    """The shape, one visual token further every second frame, until it stays at the edge; one element a frame."""
    limits = size[0] // FACTOR, size[1] // FACTOR
    column, row = rng.randrange(limits[0]), rng.randrange(limits[1])
    along, step = rng.choice(((0, 1), (0, -1), (1, 1), (1, -1)))
    path = []
    for _ in range(num_frames // 2):
        path += [in_cell(mover, column, row)] * 2
        column = min(limits[0] - 1, max(0, column + step)) if along == 0 else column
        row = min(limits[1] - 1, max(0, row + step)) if along == 1 else row
    return path


def film_rows(rng: Random, ease: float) -> Item:
    """The names of what is visible in every temporal step, one line each: a lesson on order."""
    size, num_frames = _extent(rng, ease)
    ground = palette.background(rng, ease)
    scene = scatter(rng, size, distinct_names(rng, 2, ground), 20, 36, ground)
    moments = num_frames // 2
    starts = [rng.randrange(moments) for _ in scene.shapes]
    lasts = [moments if rng.random() < 0.5 else 1 for _ in scene.shapes]
    frames, lines = [], []
    for moment in range(moments):
        times = zip(scene.shapes, starts, lasts, strict=True)
        visible = [shape for shape, start, length in times if start <= moment < start + length]
        frames += [_frame(size, ground, visible)] * 2
        ordered = sorted(visible, key=lambda shape: shape.centre[0])
        lines.append(", ".join(shape.name for shape in ordered) or "no shape")
    answer = "\n".join(lines)
    return video_item("film_rows", frames, ask(rng, "film_rows", ease), answer, text_truth(answer))


def _beside(rng: Random, size: tuple[int, int], shape: Placed, path: list[Placed]) -> list[Placed]:
    """The shape at a place that the moving one never touches; empty if ten tries found no such place."""
    width, height = shape.mask.size
    for _ in range(10):
        placed = moved(shape, rng.randint(0, size[0] - width), rng.randint(0, size[1] - height))
        if all(apart(placed.box_px, step.box_px) for step in path):
            return [placed]
    return []


def _path(rng: Random, size: tuple[int, int], shape: Placed, direction: str, num_frames: int) -> list[tuple[int, int]]:
    """Upper left corners, one a frame: steady along the direction, with up to six pixels of drift across it."""
    along = 0 if direction in ("left", "right") else 1
    extent = shape.mask.size
    room, room_across = size[along] - extent[along], size[1 - along] - extent[1 - along]
    travel = rng.randint(min(26, room), room)  # at least nearly two patches
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
    """Which of two shapes appears first or last; they stay or flash, and the second appears two or more frames later."""
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
    question = rng.choice(("first", "last"))
    answer = scene.shapes[0 if question == "first" else 1].name
    return video_item("order", frames, ask(rng, question, ease), answer, text_truth(answer, *name_truths(answer)))


TASKS = (
    Task("motion", without_split(motion), "video", needs_fonts=False, in_exam=True),
    Task("order", without_split(order), "video", needs_fonts=False, in_exam=True),
    Task("track", without_split(track), "video", lesson=True, needs_fonts=False),
    Task("film_rows", without_split(film_rows), "video", lesson=True, needs_fonts=False),
)
