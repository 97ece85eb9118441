"""Videos of shapes and digits: counting events, speed, changes, late details, and shapes that enter.

Not here: motion and order (motion), lessons (video_lessons), and how a video is described and drawn (video_scenes).
"""

from random import Random

from drawn_world import palette
from drawn_world.item import Item, Size, text_truth, video_item
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    distinct_names,
    fits,
    in_cell,
    make_shape,
    moved,
    name_truths,
    turned_into,
)
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
    video_size,
)
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR

LATE_FRAMES = 64
MAX_EVENTS = 5


def _video_item(task: str, video: Video, question: str, *answers: str) -> Item:
    """An item whose first answer is supervised; all answers count as right."""
    truth = text_truth(*answers, scene=video.described())
    return video_item(task, draw_video(video), question, answers[0], truth)


def change_step(rng: Random, ease: float) -> int:
    """Number of frames of which every change is a multiple: at ease 1 a temporal step, at ease 0 in half of the videos."""
    return STEP if rng.random() < 0.5 + ease / 2 else 1


def events(rng: Random, split: str, ease: float) -> Item:
    """The number of times a shape appears, one to five; below ease 1 another one may stay, or come and go too."""
    video, thing, number = blinking(rng, ease, change_step(rng, ease))
    return _video_item("events", video, ask(rng, "events", ease, split, thing=thing), str(number))


def blinking(rng: Random, ease: float, step: int) -> tuple[Video, str, int]:
    """A video, the name of the shape to count (its first thing), and the number of times that it appears."""
    size, ground = video_size(rng, ease), palette.background(rng, ease)
    num_frames = 20 if rng.random() < ease else rng.choice((20, 24, 28))
    names = distinct_names(rng, 2 if rng.random() < 0.6 * (1 - ease) else 1, ground, distinct_kinds=True)
    target, *others = place(rng, size, names, ground, ease)
    number = rng.randint(1, MAX_EVENTS)
    parts = [still(target, *blinks(rng, number, num_frames, ease, step))]
    for other in others:
        stretches = blinks(rng, rng.randint(1, MAX_EVENTS), num_frames, ease, step)
        parts.append(still(other, *(stretches if rng.random() < 0.5 else [(0, num_frames)])))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    return video, target.kind if rng.random() < ease or rng.random() < 0.5 else target.name, number


def speed(rng: Random, split: str, ease: float) -> Item:
    """Which of two shapes is faster or slower, or how the speed of one shape changes."""
    return (_compare_speeds if rng.random() < 0.6 else _change_of_speed)(rng, split, ease)


def _extent(rng: Random, ease: float) -> tuple[Size, int, int]:
    """Size, axis of motion (0 = horizontal, 1 = vertical) and number of frames of a video about speed."""
    if rng.random() < ease:
        return (4 * FACTOR, 2 * FACTOR), 0, 8
    axis, narrow = rng.randrange(2), rng.choice((2, 3)) * FACTOR
    return ((4 * FACTOR, narrow) if axis == 0 else (narrow, 4 * FACTOR)), axis, rng.choice((8, 10, 12))


def _compare_speeds(rng: Random, split: str, ease: float) -> Item:
    (size, axis, num_frames), ground = _extent(rng, ease), palette.background(rng, ease)
    easy_far, easy_near, room = rng.random() < ease, rng.random() < ease, size[axis] - (FACTOR - 3)
    far = room if easy_far else rng.randint(room * 7 // 10, room)
    near = room // 3 if easy_near else rng.randint(6, far // 2)
    parts = []
    names, lanes = distinct_names(rng, 2, ground), rng.sample((0, 1), 2)
    for (colour, kind), lane, travel in zip(names, lanes, (far, near), strict=True):
        shape = make_shape(rng, kind, colour, FACTOR - 3 if easy_far else rng.randint(16, FACTOR - 3))
        parts.append(_in_lane(rng, size, axis, shape, lane, travel, num_frames, ease))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    faster = rng.random() < ease or rng.random() < 0.5
    name = parts[0 if faster else 1][0].name
    return _video_item(
        "speed", video, ask(rng, "faster" if faster else "slower", ease, split), name, *name_truths(name)
    )


def _in_lane(
    rng: Random, size: Size, axis: int, shape: Placed, lane: int, travel: int, num_frames: int, ease: float
) -> Part:
    """The shape at a steady speed in one of the two lanes; with probability `ease` in its middle, from the first end."""
    width = size[1 - axis] // 2
    spare, room = width - shape.mask.size[1 - axis], size[axis] - shape.mask.size[axis] - travel
    simple = rng.random() < ease
    across = lane * width + (spare // 2 if simple else rng.randint(0, spare))
    start, back = (0, False) if simple else (rng.randint(0, room), rng.random() < 0.5)
    shares = [frame / (num_frames - 1) for frame in range(num_frames)]
    return along(shape, axis, across, [round(start + travel * (1 - share if back else share)) for share in shares])


def _change_of_speed(rng: Random, split: str, ease: float) -> Item:
    (size, axis, num_frames), ground = _extent(rng, ease), palette.background(rng, ease)
    answer, simple = rng.choice(("faster", "slower")), rng.random() < ease
    ((colour, kind),) = distinct_names(rng, 1, ground)
    shape = make_shape(rng, kind, colour, FACTOR - 3 if simple else rng.randint(16, FACTOR))
    room, spare = (size[way] - shape.mask.size[way] for way in (axis, 1 - axis))
    travel = room if simple else rng.randint(room * 3 // 4, room)
    start, across = rng.randint(0, room - travel), spare // 2 if simple else rng.randint(0, spare)
    back, power = not simple and rng.random() < 0.5, 2.4 if simple else rng.uniform(1.9, 2.8)
    shares = [frame / (num_frames - 1) for frame in range(num_frames)]
    passed = [share**power if answer == "faster" else 1 - (1 - share) ** power for share in shares]
    moving = along(shape, axis, across, [round(start + travel * (1 - share if back else share)) for share in passed])
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=(moving,))
    thing = kind if rng.random() < ease else rng.choice((kind, "shape", shape.name))
    return _video_item("speed", video, ask(rng, "speed_change", ease, split, thing=thing), answer)


def changed(rng: Random, split: str, ease: float) -> Item:
    """What is new, or which shape changed: one of one to three shapes takes another colour or becomes another kind."""
    size, ground = video_size(rng, ease), palette.background(rng, ease)
    num_frames = 8 if rng.random() < ease else rng.choice((8, 10, 12, 16))
    moment = num_frames // 2 if rng.random() < ease else rng.randint(2, num_frames - 2)
    count = 1 if rng.random() < ease else rng.randint(1, 3)
    question = rng.choice(("changed_colour", "changed_shape", "changed_what" if count > 1 else "changed_colour"))
    while True:
        colours, kinds = rng.sample(palette.colours_on(ground), count + 1), rng.sample(shapes.KINDS, count + 1)
        old, *others = place(rng, size, list(zip(colours[:-1], kinds[:-1], strict=True)), ground, ease)
        shape_changes = question == "changed_shape"
        new = turned_into(rng, old, "" if shape_changes else colours[-1], kinds[-1] if shape_changes else "")
        if fits(size, new, others):
            break
    parts = [still(old, (0, moment)), still(new, (moment, num_frames))]
    parts += [still(other, (0, num_frames)) for other in others]
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    answers: dict[str, tuple[str, ...]] = {
        "changed_colour": (new.colour,),
        "changed_shape": (new.kind, *name_truths(new.kind), *name_truths(new.name)),
        "changed_what": (old.kind, *name_truths(old.kind), *name_truths(old.name), *name_truths(new.name)),
    }
    return _video_item("changed", video, ask(rng, question, ease, split), *answers[question])


def late(rng: Random, split: str, ease: float) -> Item:
    """A video of 64 small frames in which a shape or a digit is visible for two to six frames near the end.

    Below ease 1 another shape may be visible early for as short a time; where the question asks for what flashes, it
    stays.
    """
    question, ground = rng.choice(("late_what", "late_digit", "late_colour")), palette.background(rng, ease)
    length = 6 if rng.random() < ease else rng.randint(2, 6)
    first = 54 if rng.random() < ease else rng.randint(LATE_FRAMES - 20, LATE_FRAMES - length)
    names = distinct_names(rng, 2 if rng.random() < 0.6 * (1 - ease) else 1, ground)
    target, *others = place(rng, SMALL, names, ground, ease)
    begin = rng.randint(2, 30)
    early = (0, LATE_FRAMES) if question == "late_colour" else (begin, begin + rng.randint(2, 6))
    parts = [still(other, early) for other in others]
    if question == "late_digit":
        parts.append(flash_of_digit(rng, split, SMALL, ground, ease, (first, first + length)))
    else:
        parts.append(still(target, (first, first + length)))
    video = Video(size=SMALL, ground=ground, num_frames=LATE_FRAMES, parts=tuple(parts))
    name = parts[-1][0].name
    answers = {"late_what": (name, *name_truths(name)), "late_digit": (name,), "late_colour": (target.colour,)}
    return _video_item("late", video, ask(rng, question, ease, split), *answers[question])


def film_count(rng: Random, split: str, ease: float) -> Item:
    """The number of shapes that enter, one to five; below ease 1 up to two are there from the start and may leave.

    With probability `ease` they appear in cells in reading order, one every temporal step.
    """
    simple, number = rng.random() < ease, rng.randint(1, MAX_EVENTS)
    size = SIZES[2] if simple else rng.choice(SIZES[2:])
    ground, num_frames = palette.background(rng, ease), 12 if simple else 16
    present = 0 if rng.random() < ease else rng.randint(0, 2)
    columns, rows = size[0] // FACTOR, size[1] // FACTOR
    at_rim = [cell for cell in range(columns * rows) if _ways_in(cell, columns, rows)]
    cells = list(range(present + number)) if simple else rng.sample(at_rim, present + number)
    moments = range(1, number + 1) if simple else sorted(rng.sample(range(1, num_frames // STEP), number))
    parts: list[Part] = []
    for index, cell in enumerate(cells):
        shape = _in_cell(rng, ground, cell % columns, cell // columns, ease)
        if index < present:
            leaves = rng.random() < 0.3
            parts.append(still(shape, (0, rng.randint(STEP, num_frames - STEP) if leaves else num_frames)))
        else:
            ways = _ways_in(cell, columns, rows) if rng.random() >= ease else []
            first = moments[index - present] * STEP - (0 if rng.random() < ease else rng.randint(0, 1))
            parts.append(_entering(rng, shape, ways, first, num_frames))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    return _video_item("film_count", video, ask(rng, "film_count", ease, split), str(number))


def _in_cell(rng: Random, ground: Rgb, column: int, row: int, ease: float) -> Placed:
    """A shape that fills a visual token with probability `ease`; else one that lies somewhere inside it."""
    kind, colour = rng.choice(shapes.KINDS), rng.choice(palette.colours_on(ground))
    if rng.random() < ease:
        return in_cell(make_shape(rng, kind, colour, FACTOR - 3), column, row)
    shape = make_shape(rng, kind, colour, rng.randint(16, FACTOR - 3))
    x, y = (rng.randint(0, FACTOR - extent) for extent in shape.mask.size)
    return moved(shape, column * FACTOR + x, row * FACTOR + y)


def _ways_in(cell: int, columns: int, rows: int) -> list[tuple[int, int]]:
    """Directions (right, down) from a cell over the edges of the image that it touches."""
    column, row = cell % columns, cell // columns
    sides = ((column == 0, (-1, 0)), (column == columns - 1, (1, 0)), (row == 0, (0, -1)), (row == rows - 1, (0, 1)))
    return [way for touches, way in sides if touches]


def _entering(rng: Random, shape: Placed, ways: list[tuple[int, int]], first: int, num_frames: int) -> Part:
    """The shape, half outside in frame `first` and at its place from the next frame on; without ways, at its place at once."""
    if not ways:
        return still(shape, (first, num_frames))
    right, down = rng.choice(ways)
    outside = (first, first + 1, shape.x + right * FACTOR // 2, shape.y + down * FACTOR // 2)
    return shape, (outside, (first + 1, num_frames, shape.x, shape.y))


TASKS = (
    Task("events", events, "video", needs_fonts=False, in_exam=True),
    Task("speed", speed, "video", needs_fonts=False),
    Task("changed", changed, "video", needs_fonts=False),
    Task("late", late, "video", in_exam=True),
    Task("film_count", film_count, "video", needs_fonts=False),
)
