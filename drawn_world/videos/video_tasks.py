"""Videos of shapes and digits beyond motion and order: counting events, speed, what changed, late detail, who enters.

For training only, three lessons: event_rows, flash_rows, film_dialogue. Not here: motion, order and theirs (motion), and
how a video is described and drawn (scenes).
"""

from dataclasses import replace
from random import Random

from drawn_world import palette
from drawn_world.item import Item, Turn, talk, text_truth, video_item, video_part
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    apart,
    distinct_names,
    in_cell,
    make_shape,
    moved,
    name_truths,
)
from drawn_world.task import Task
from drawn_world.videos.video_scenes import (
    SIZES,
    SMALL,
    STEP,
    Part,
    Size,
    Thing,
    Video,
    along,
    blinks,
    draw_video,
    flash_of_digit,
    place,
    still,
    video_size,
)
from drawn_world.wording import phrase, read_wordings, texts_of
from qwen2vl.spec.config import FACTOR

Path = list[tuple[int, int]]  # upper left corners, one a frame

LATE_FRAMES = 64
MAX_EVENTS = 5
NOTHING = "no shape"

QUESTIONS = read_wordings("videos")
WORDS = ("faster", "slower", *texts_of(QUESTIONS))


def _ask(rng: Random, wording: str, split: str, ease: float, /, **parts: str) -> str:
    return phrase(rng, QUESTIONS[wording], ease, split, **parts)


def _video_item(task: str, video: Video, question: str, *answers: str) -> Item:
    """The first answer is supervised, all of them are right."""
    truth = text_truth(*answers, scene=video.described())
    return video_item(task, draw_video(video), question, answers[0], truth)


def _step(rng: Random, ease: float) -> int:
    """Changes fall between temporal steps: always when easy, else in half of the videos."""
    return STEP if rng.random() < 0.5 + ease / 2 else 1


def events(rng: Random, split: str, ease: float) -> Item:
    """How many times a shape appears, one to five; away from ease 1 another one stands by or comes and goes too."""
    video, asked, number = _blinking(rng, ease, _step(rng, ease))
    return _video_item("events", video, _ask(rng, "events", split, ease, thing=asked), str(number))


def _blinking(rng: Random, ease: float, step: int) -> tuple[Video, str, int]:
    """A video, the name of the shape that is to be counted (its first thing), and how often it appears."""
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
    """Which of two shapes is faster or slower, or how the speed of one changes."""
    return (_compare_speeds if rng.random() < 0.6 else _change_of_speed)(rng, split, ease)


def _extent(rng: Random, ease: float) -> tuple[Size, int, int]:
    """Size, axis of the motion (0 across, 1 down) and frames of a video of speed."""
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
        parts.append(along(shape, _in_lane(rng, size, axis, shape, lane, travel, num_frames, ease)))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    faster = rng.random() < ease or rng.random() < 0.5
    name = parts[0 if faster else 1][0].name
    return _video_item(
        "speed", video, _ask(rng, "faster" if faster else "slower", split, ease), name, *name_truths(name)
    )


def _in_lane(
    rng: Random, size: Size, axis: int, shape: Placed, lane: int, travel: int, num_frames: int, ease: float
) -> Path:
    """A steady way along the axis in one of its two lanes; with probability `ease` in the middle, from the left end."""
    width = size[1 - axis] // 2
    spare, room = width - shape.mask.size[1 - axis], size[axis] - shape.mask.size[axis] - travel
    simple = rng.random() < ease
    across = lane * width + (spare // 2 if simple else rng.randint(0, spare))
    start, back = (0, False) if simple else (rng.randint(0, room), rng.random() < 0.5)
    shares = [frame / (num_frames - 1) for frame in range(num_frames)]
    return _path(axis, across, [round(start + travel * (1 - share if back else share)) for share in shares])


def _path(axis: int, across: int, places: list[int]) -> Path:
    return [(place, across) if axis == 0 else (across, place) for place in places]


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
    path = _path(axis, across, [round(start + travel * (1 - share if back else share)) for share in passed])
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=(along(shape, path),))
    thing = kind if rng.random() < ease else rng.choice((kind, "shape", shape.name))
    return _video_item("speed", video, _ask(rng, "speed_change", split, ease, thing=thing), answer)


def changed(rng: Random, split: str, ease: float) -> Item:
    """One of one to three shapes takes another colour or becomes another shape: what is new, or which one it was."""
    size, ground = video_size(rng, ease), palette.background(rng, ease)
    num_frames = 8 if rng.random() < ease else rng.choice((8, 10, 12, 16))
    moment = num_frames // 2 if rng.random() < ease else rng.randint(2, num_frames - 2)
    count = 1 if rng.random() < ease else rng.randint(1, 3)
    asked = rng.choice(("changed_colour", "changed_shape", "changed_what" if count > 1 else "changed_colour"))
    while True:
        colours, kinds = rng.sample(palette.colours_on(ground), count + 1), rng.sample(shapes.KINDS, count + 1)
        old, *others = place(rng, size, list(zip(colours[:-1], kinds[:-1], strict=True)), ground, ease)
        new = _reshaped(rng, old, kinds[-1]) if asked == "changed_shape" else _recoloured(rng, old, colours[-1])
        if _fits(size, new, others):
            break
    parts = [still(old, (0, moment)), still(new, (moment, num_frames))]
    parts += [still(other, (0, num_frames)) for other in others]
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    answers: dict[str, tuple[str, ...]] = {
        "changed_colour": (new.colour,),
        "changed_shape": (new.kind, *name_truths(new.kind), *name_truths(new.name)),
        "changed_what": (old.kind, *name_truths(old.kind), *name_truths(old.name), *name_truths(new.name)),
    }
    return _video_item("changed", video, _ask(rng, asked, split, ease), *answers[asked])


def _recoloured(rng: Random, old: Placed, colour: str) -> Placed:
    return replace(old, colour=colour, rgb=palette.jitter(rng, palette.COLOURS[colour]))


def _reshaped(rng: Random, old: Placed, kind: str) -> Placed:
    """Another kind of the same colour about the same middle."""
    new = replace(old, kind=kind, turn=rng.choice(shapes.TURNS.get(kind, (0,))))
    x, y = (int(middle - extent / 2) for middle, extent in zip(old.centre, new.mask.size, strict=True))
    return moved(new, x, y)


def _fits(size: Size, shape: Placed, others: list[Placed]) -> bool:
    x1, y1, x2, y2 = shape.box_px
    inside = x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]
    return inside and all(apart(shape.box_px, other.box_px, 1) for other in others)


def late(rng: Random, split: str, ease: float) -> Item:
    """A video of 64 small frames in which a shape or a digit shows for two to six frames late.

    Away from ease 1 another shape shows early for as short a time, or stands by where only what flashes is asked for.
    """
    asked, ground = rng.choice(("late_what", "late_digit", "late_colour")), palette.background(rng, ease)
    length = 6 if rng.random() < ease else rng.randint(2, 6)
    first = 54 if rng.random() < ease else rng.randint(LATE_FRAMES - 20, LATE_FRAMES - length)
    names = distinct_names(rng, 2 if rng.random() < 0.6 * (1 - ease) else 1, ground)
    target, *others = place(rng, SMALL, names, ground, ease)
    begin = rng.randint(2, 30)
    early = (0, LATE_FRAMES) if asked == "late_colour" else (begin, begin + rng.randint(2, 6))
    parts = [still(other, early) for other in others]
    if asked == "late_digit":
        parts.append(flash_of_digit(rng, split, SMALL, ground, ease, (first, first + length)))
    else:
        parts.append(still(target, (first, first + length)))
    video = Video(size=SMALL, ground=ground, num_frames=LATE_FRAMES, parts=tuple(parts))
    name = parts[-1][0].name
    answers = {"late_what": (name, *name_truths(name)), "late_digit": (name,), "late_colour": (target.colour,)}
    return _video_item("late", video, _ask(rng, asked, split, ease), *answers[asked])


def film_count(rng: Random, split: str, ease: float) -> Item:
    """How many shapes enter, one to five; away from ease 1 up to two are there from the start and may leave.

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
    return _video_item("film_count", video, _ask(rng, "film_count", split, ease), str(number))


def _in_cell(rng: Random, ground: Rgb, column: int, row: int, ease: float) -> Placed:
    """A shape that fills a visual token with probability `ease`, else one somewhere in it."""
    kind, colour = rng.choice(shapes.KINDS), rng.choice(palette.colours_on(ground))
    if rng.random() < ease:
        return in_cell(make_shape(rng, kind, colour, FACTOR - 3), column, row)
    shape = make_shape(rng, kind, colour, rng.randint(16, FACTOR - 3))
    x, y = (rng.randint(0, FACTOR - extent) for extent in shape.mask.size)
    return moved(shape, column * FACTOR + x, row * FACTOR + y)


def _ways_in(cell: int, columns: int, rows: int) -> list[tuple[int, int]]:
    """Directions from a cell across the rim of the image that it touches."""
    column, row = cell % columns, cell // columns
    sides = ((column == 0, (-1, 0)), (column == columns - 1, (1, 0)), (row == 0, (0, -1)), (row == rows - 1, (0, 1)))
    return [way for touches, way in sides if touches]


def _entering(rng: Random, shape: Placed, ways: list[tuple[int, int]], first: int, num_frames: int) -> Part:
    """The shape half outside in the frame `first` and in its place from the next on; there at once without ways."""
    if not ways:
        return still(shape, (first, num_frames))
    right, down = rng.choice(ways)
    outside = (first, first + 1, shape.x + right * FACTOR // 2, shape.y + down * FACTOR // 2)
    return shape, (outside, (first + 1, num_frames, shape.x, shape.y))


def event_rows(rng: Random, split: str, ease: float) -> Item:
    """What shows in every two frames, with the number of its appearance: counting aloud, an answer for every moment.

    Before or after it the plain question of `events`: before, it is answered from the video, after, from the rows.
    """
    video, thing, number = _blinking(rng, ease, STEP)
    turns = [
        (_ask(rng, "event_rows", split, ease), "\n".join(_counted(video))),
        (_ask(rng, "events", split, ease, thing=thing), str(number)),
    ]
    return talk("event_rows", video_part(draw_video(video)), rng.sample(turns, 2), scene=video.described())


def _counted(video: Video) -> list[str]:
    """For every two frames what shows, from left to right (then from above), with the number of its appearance."""
    counts, lines = [0] * len(video.parts), []
    for frame in range(0, video.num_frames, STEP):
        shown: list[tuple[float, int, str]] = []
        for index, (thing, spans) in enumerate(video.parts):
            counts[index] += any(first == frame for first, *_ in spans)
            middle, text = thing.mask.width / 2, f"{thing.name} {counts[index]}"
            shown += [(x + middle, y, text) for first, until, x, y in spans if first <= frame < until]
        lines.append(", ".join(text for *_, text in sorted(shown)) or NOTHING)
    return lines


def flash_rows(rng: Random, split: str, ease: float) -> Item:
    """One to eight flashes of shapes and digits, in a video of 16 to 64 frames, listed in order.

    Ease 1: four flashes in 16 frames, every second temporal step.
    """
    num_frames = 16 if rng.random() < ease else rng.choice((16, 24, 32, 48, 64))
    size = SMALL if num_frames > 32 or rng.random() < ease else rng.choice(SIZES[:3])
    number = 4 if rng.random() < ease else rng.randint(1, min(8, num_frames // 4))
    ground = palette.background(rng, ease)
    parts: list[Part] = []
    for stretch in blinks(rng, number, num_frames, ease, _step(rng, ease)):
        if rng.random() < 0.35:
            parts.append(flash_of_digit(rng, split, size, ground, ease, stretch))
        else:
            parts.append(still(place(rng, size, distinct_names(rng, 1, ground), ground, ease)[0], stretch))
    video = Video(size=size, ground=ground, num_frames=num_frames, parts=tuple(parts))
    turn = _ask(rng, "flash_rows", split, ease), "\n".join(thing.name for thing, _ in parts)
    return talk("flash_rows", video_part(draw_video(video)), [turn], scene=video.described())


def film_dialogue(rng: Random, split: str, ease: float) -> Item:
    """One shape crosses the image along a side, two others flash: five questions about them."""
    size, ground, num_frames = (
        SIZES[2] if rng.random() < ease else rng.choice(SIZES[2:]),
        palette.background(rng, ease),
        16,
    )
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
    turns = _about_video(rng, split, ease, video, direction)
    return talk("film_dialogue", video_part(draw_video(video)), rng.sample(turns, 5), scene=video.described())


def _along_a_side(
    rng: Random, size: Size, axis: int, at_start: bool, name: tuple[str, str], num_frames: int, ease: float
) -> tuple[Part, str]:
    """A shape that goes from end to end within a token's breadth of one side, and its direction."""
    back, shape = rng.random() < 0.5, make_shape(rng, name[1], name[0], FACTOR - 3 if rng.random() < ease else 22)
    room, spare = size[axis] - shape.mask.size[axis], FACTOR - shape.mask.size[1 - axis]
    across = (0 if at_start else size[1 - axis] - FACTOR) + (
        spare // 2 if rng.random() < ease else rng.randint(0, spare)
    )
    shares = [frame / (num_frames - 1) for frame in range(num_frames)]
    path = _path(axis, across, [round(room * (1 - share if back else share)) for share in shares])
    return along(shape, path), (("right", "left"), ("down", "up"))[axis][back]


def _kind_of(thing: Thing) -> str:
    return thing.name.split()[-1]


def _about_video(rng: Random, split: str, ease: float, video: Video, direction: str) -> list[Turn]:
    (mover, _), *flashing = video.parts
    by_first = sorted(flashing, key=lambda part: part[1][0][0])
    by_last = sorted(flashing, key=lambda part: part[1][-1][0])
    turns = [
        (_ask(rng, "direction", split, ease, thing=_kind_of(mover)), direction),
        (_ask(rng, "mover", split, ease), mover.name),
        (_ask(rng, "flash_first", split, ease), by_first[0][0].name),
        (_ask(rng, "flash_last", split, ease), by_last[-1][0].name),
    ]
    turns += [(_ask(rng, "events", split, ease, thing=_kind_of(each)), str(len(spans))) for each, spans in flashing]
    return turns + [(_ask(rng, "colour", split, ease, kind=_kind_of(each)), each.colour) for each, _ in video.parts]


TASKS = (
    Task("events", events, "video", needs_fonts=False, exams=("exam",), words=WORDS),
    Task("speed", speed, "video", needs_fonts=False, words=WORDS),
    Task("changed", changed, "video", needs_fonts=False, words=WORDS),
    Task("late", late, "video", exams=("exam",), words=WORDS),
    Task("film_count", film_count, "video", needs_fonts=False, words=WORDS),
    Task("event_rows", event_rows, "video", lesson=True, needs_fonts=False, words=WORDS),
    Task("flash_rows", flash_rows, "video", lesson=True, words=WORDS),
    Task("film_dialogue", film_dialogue, "video", lesson=True, needs_fonts=False, words=WORDS),
)
