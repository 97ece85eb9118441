"""Dialogues about images of other rooms in which some questions ask for what the image does not show. For training only.

The reply to these is one fixed sentence. All other questions come from the item that drew the image, so that an answer is
refused only where the image lacks it. Not here: numbers of things, where "0" is the answer, and whether something is there.
"""

from dataclasses import dataclass
from random import Random

from drawn_world.charts import chart_tasks
from drawn_world.documents import receipts, tables
from drawn_world.glyphs import glyph_lessons
from drawn_world.item import MAX_TURNS, Item, Turn, talk
from drawn_world.reading import textures, word_tasks
from drawn_world.screens import window_lessons
from drawn_world.shapes import kinds, shape_lessons
from drawn_world.task import Task
from drawn_world.wording import LABELS, ask

CANNOT_TELL = LABELS["cannot_tell"][0]


@dataclass(frozen=True, slots=True)
class Base:
    """A lesson of another room whose images are asked about."""

    task: Task
    absent: tuple[str, ...]
    """What no image of it shows, for example "chart": the part after "absent_" of a question, or "thing" or "kind"."""


def _base(module_tasks: tuple[Task, ...], name: str, absent: str) -> Base:
    (task,) = (task for task in module_tasks if task.name == name)
    return Base(task, tuple(absent.split()))


BASES = (
    _base(shape_lessons.TASKS, "tell_apart", "text value chart motion thing kind kind kind"),
    _base(glyph_lessons.TASKS, "glyph_places", "text value chart motion thing thing"),
    _base(word_tasks.TASKS, "read_word", "chart motion thing kind"),
    _base(textures.TASKS, "word_on_texture", "chart motion thing"),
    _base(chart_tasks.TASKS, "chart_dialogue", "thing"),
    _base(receipts.TASKS, "receipt_dialogue", "chart motion thing kind"),
    _base(tables.TASKS, "table_dialogue", "chart motion thing kind"),
    _base(window_lessons.TASKS, "screen_dialogue", "chart motion thing kind"),
)
"""Lessons that name in their questions and answers every shape or glyph that their images show."""


def base_item(rng: Random, split: str, ease: float) -> tuple[Base, Item, list[Turn]]:
    """An item of another room, with its questions and answers."""
    base = rng.choice(BASES)
    item = base.task.make(rng, split, ease)
    said = [message["content"] for message in item.messages] + [item.answer]
    questions = [next(part["text"] for part in content if part["type"] == "text") for content in said[::2]]
    return base, item, list(zip(questions, said[1::2], strict=True))


def refused(rng: Random, split: str, ease: float, base: Base, turns: list[Turn]) -> Turn:
    """A question about something that is neither in the image nor in the turns about it, and the fixed reply."""
    said = " ".join(text for turn in turns for text in turn)
    what = rng.choice(base.absent)
    parts = {"key": rng.choice(LABELS["absent_keys"])}
    if what in ("thing", "kind"):
        names = LABELS["absent_things"] if what == "thing" else kinds.KINDS
        parts["thing"] = rng.choice([name for name in names if name not in said])
        what = rng.choice(("place", "place", "colour"))
    return ask(rng, f"absent_{what}", ease, split, **parts), CANNOT_TELL


def cannot_tell(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about an image of another room, one or two of them about what it does not show."""
    base, item, turns = base_item(rng, split, ease)
    extra = [refused(rng, split, ease, base, turns) for _ in range(rng.choice((1, 1, 2)))]
    kept = turns[: MAX_TURNS - len(extra)]
    for turn in {question: (question, answer) for question, answer in extra}.values():
        kept.insert(rng.randint(0, len(kept)), turn)
    return talk("cannot_tell", media_of_question(item), kept, scene={"base": base.task.name})


def media_of_question(item: Item) -> list[dict[str, object]]:
    """The images and videos of the first question."""
    return [part for part in item.messages[0]["content"] if part["type"] in ("image", "video")]


TASKS: tuple[Task, ...] = (Task("cannot_tell", cannot_tell, "vqa", lesson=True),)
