"""Lessons about videos: what is visible in every temporal step, what flashes, and dialogues. For training only."""

from random import Random

from drawn_world import palette
from drawn_world.item import Item, Size, Turn, talk, video_part
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import distinct_names, make_shape, moved
from drawn_world.task import Task
from drawn_world.videos.video_scenes import (
    SIZES,
    SMALL,
    STEP,
    Part,
    Video,
    along,
    blinks,
    draw_video,
    flash_of_digit,
    place,
    still,
)
from drawn_world.videos.video_tasks import blinking, change_step
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR


def event_rows(rng: Random, split: str, ease: float) -> Item:
    """What is visible in every temporal step, each thing with the number of its appearance; and the question of `events`.

    In random order: asked first, the number has to come from the video; asked last, it can come from the rows.
    """
    video, thing, number = blinking(rng, ease, STEP)
    turns = [
        (ask(rng, "event_rows", ease, split), "\n".join(_counted(video))),
        (ask(rng, "events", ease, split, thing=thing), str(number)),
    ]
    return talk("event_rows", video_part(draw_video(video)), rng.sample(turns, 2), scene=video.described())


def _counted(video: Video) -> list[str]:
    """What is visible in every temporal step, from left to right, then from the top, with the number of its appearance."""
    counts, lines = [0] * len(video.parts), []
    for frame in range(0, video.num_frames, STEP):
        shown: list[tuple[float, int, str]] = []
        for index, (thing, spans) in enumerate(video.parts):
            counts[index] += any(first == frame for first, *_ in spans)
            middle, text = thing.mask.width / 2, f"{thing.name} {counts[index]}"
            shown += [(x + middle, y, text) for first, until, x, y in spans if first <= frame < until]
        lines.append(", ".join(text for *_, text in sorted(shown)) or "no shape")
    return lines


def flash_rows(rng: Random, split: str, ease: float) -> Item:
    """A list, in order, of one to eight flashes of shapes and digits in a video of 16 to 64 frames.

    Ease 1: four flashes in 16 frames, every second temporal step.
    """
    num_frames = 16 if rng.random() < ease else rng.choice((16, 24, 32, 48, 64))
    size = SMALL if num_frames > 32 or rng.random() < ease else rng.choice(SIZES[:3])
    number = 4 if rng.random() < ease else rng.randint(1, min(8, num_frames // 4))
    ground = palette.background(rng, ease)
    parts: list[Part] = []
    for stretch in blinks(rng, number, num_frames, ease, change_step(rng, ease)):
        if rng.random() < 0.35:
            parts.append(flash_of_digit(rng, split, size, ground, ease, stretch))
        else:
            parts.append(still(place(rng, size, distinct_names(rng, 1, ground), ground, ease)[0], stretch))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    turn = ask(rng, "flash_rows", ease, split), "\n".join(thing.name for thing, _ in parts)
    return talk("flash_rows", video_part(draw_video(video)), [turn], scene=video.described())


def film_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Five questions about one shape that moves along a side of the image and two others that flash."""
    size, num_frames = SIZES[2] if rng.random() < ease else rng.choice(SIZES[2:]), 16
    ground = palette.background(rng, ease)
    axis, at_start = (0, False) if rng.random() < ease else (rng.randrange(2), rng.random() < 0.5)
    names = list(zip(rng.sample(palette.colours_on(ground), 3), rng.sample(shapes.KINDS, 3), strict=True))
    mover, direction = _along_a_side(rng, size, axis, at_start, names[0], num_frames, ease)
    free = (size[0], size[1] - FACTOR) if axis == 0 else (size[0] - FACTOR, size[1])
    shift = FACTOR if at_start else 0
    others = [
        moved(shape, shape.x + (shift if axis == 1 else 0), shape.y + (shift if axis == 0 else 0))
        for shape in place(rng, free, names[1:], ground, ease)
    ]
    while True:
        stretches = [blinks(rng, rng.randint(1, 3), num_frames, ease / 2, STEP) for _ in others]
        if stretches[0][0][0] != stretches[1][0][0] and stretches[0][-1][0] != stretches[1][-1][0]:
            break
    parts = (mover, *(still(shape, *each) for shape, each in zip(others, stretches, strict=True)))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=parts)
    turns = _questions(rng, split, ease, video, direction)
    return talk("film_dialogue", video_part(draw_video(video)), rng.sample(turns, 5), scene=video.described())


def _along_a_side(
    rng: Random, size: Size, axis: int, at_start: bool, name: tuple[str, str], num_frames: int, ease: float
) -> tuple[Part, str]:
    """A shape that moves from end to end within one visual token of a side of the image, and its direction."""
    back, shape = rng.random() < 0.5, make_shape(rng, name[1], name[0], FACTOR - 3 if rng.random() < ease else 22)
    room, spare = size[axis] - shape.mask.size[axis], FACTOR - shape.mask.size[1 - axis]
    side = 0 if at_start else size[1 - axis] - FACTOR
    across = side + (spare // 2 if rng.random() < ease else rng.randint(0, spare))
    shares = [frame / (num_frames - 1) for frame in range(num_frames)]
    moving = along(shape, axis, across, [round(room * (1 - share if back else share)) for share in shares])
    return moving, (("right", "left"), ("down", "up"))[axis][back]


def _questions(rng: Random, split: str, ease: float, video: Video, direction: str) -> list[Turn]:
    """All questions about a shape that moves, the first part of the video, and others that flash."""
    (mover, _), *flashing = video.parts
    kinds = [thing.name.split()[-1] for thing, _ in video.parts]
    by_first = sorted(flashing, key=lambda part: part[1][0][0])
    by_last = sorted(flashing, key=lambda part: part[1][-1][0])
    turns = [
        (ask(rng, "film_direction", ease, split, thing=kinds[0]), direction),
        (ask(rng, "mover", ease, split), mover.name),
        (ask(rng, "flash_first", ease, split), by_first[0][0].name),
        (ask(rng, "flash_last", ease, split), by_last[-1][0].name),
    ]
    for kind, (_, spans) in zip(kinds[1:], flashing, strict=True):
        turns.append((ask(rng, "events", ease, split, thing=kind), str(len(spans))))
    for kind, (thing, _) in zip(kinds, video.parts, strict=True):
        turns.append((ask(rng, "film_colour", ease, split, kind=kind), thing.colour))
    return turns


TASKS = (
    Task("event_rows", event_rows, "video", lesson=True, needs_fonts=False),
    Task("flash_rows", flash_rows, "video", lesson=True),
    Task("film_dialogue", film_dialogue, "video", lesson=True, needs_fonts=False),
)
