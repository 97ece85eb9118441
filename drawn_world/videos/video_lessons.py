"""A lesson about videos: what is visible in every temporal step. For training only. Dialogues: `film_lessons`."""

from random import Random

from drawn_world.item import Item, talk, video_part
from drawn_world.task import Task
from drawn_world.videos.video_scenes import (
    STEP,
    Video,
    draw_video,
)
from drawn_world.videos.video_tasks import blinking
from drawn_world.wording import ask


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


TASKS = (Task("event_rows", event_rows, "video", lesson=True, needs_fonts=False),)
