"""The questions that can be asked about one window, with their answers, and dialogues of several of them.

Not here: the tasks that ask them (window_lessons), instructions to act (actions), and the wordings (wording/windows.toml).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from drawn_world.item import Item, Turn, box_answer, dialogue_item, point_answer
from drawn_world.screens.toolkits import SELECTED
from drawn_world.screens.windows import Control, Screen
from drawn_world.wording import LABELS, ask
from qwen2vl.processing.grounding import to_thousandths

PLURALS = {
    "button": "buttons", "checkbox": "checkboxes", "field": "fields", "tab": "tabs", "option": "options", "row": "rows",
    "menu": "menus",
}  # fmt: skip
"""Kind of a control to what questions call several of them."""
CHOSEN = ("tab", "option", "row")
"""Kinds of which one may be selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowQuestions:
    """The questions about one window, in wordings of one split. A question that has no answer here is None."""

    rng: Random
    screen: Screen
    split: str
    ease: float

    def phrase(self, wording: str, /, **parts: str) -> str:
        """One wording of a question."""
        return ask(self.rng, wording, self.ease, self.split, **parts)

    def _named(self, kind: str, label: str) -> str:
        return self.rng.choice(LABELS[f"named_{kind}"]).format(label=label)

    def _all(self, kind: str) -> list[Control]:
        return [control for control in self.screen.controls if control.kind == kind]

    def point(self, control: Control) -> Turn:
        """A point on a control."""
        label = self._named(control.kind, control.label)
        return self.phrase("control_point", label=label), point_answer(control.box_px, self.screen.image.size)

    def box(self, control: Control) -> Turn:
        """The box of a control."""
        label = self._named(control.kind, control.label)
        return self.phrase("control_box", label=label), box_answer(label, control.box_px, self.screen.image.size)

    def state(self, control: Control) -> Turn | None:
        """Whether a checkbox is checked, or the content of a field."""
        if control.kind == "checkbox":
            return self.phrase("control_checked", label=control.label), control.state
        named = self._named("field", control.label)
        is_filled = control.kind == "field" and control.state
        return (self.phrase("control_field", label=named), control.state) if is_filled else None

    def title(self) -> Turn | None:
        """The title, if the window has one."""
        return (self.phrase("window_name"), self.screen.title) if self.screen.title else None

    def count(self, kind: str) -> Turn:
        """Number of controls of a kind."""
        return self.phrase("window_count", things=PLURALS[kind]), str(len(self._all(kind)))

    def listing(self, kind: str) -> Turn:
        """Labels of all controls of a kind in reading order."""
        return self.phrase("window_list", things=PLURALS[kind]), "\n".join(each.label for each in self._all(kind))

    def boxes(self, kind: str) -> Turn:
        """Boxes of all controls of a kind in reading order, each with its label."""
        size = self.screen.image.size
        found = "".join(box_answer(each.label, each.box_px, size) for each in self._all(kind))
        return self.phrase("window_boxes", things=PLURALS[kind]), found

    def read(self) -> Turn:
        """All texts in reading order, the content of a field after its label."""
        lines = [f"{each.label} {each.state}" if each.kind == "field" else each.label for each in self.screen.controls]
        written = [self.screen.title, *map(str.strip, lines)] if self.screen.title else list(map(str.strip, lines))
        return self.phrase("window_read"), "\n".join(written)

    def chosen(self, kind: str) -> Turn | None:
        """The selected tab, option or row."""
        selected = [each.label for each in self._all(kind) if each.state == SELECTED]
        return (self.phrase("window_chosen", thing=kind), selected[0]) if selected else None

    def has(self, control: Control) -> Turn:
        """Whether a control is there; for half of the questions one that is not."""
        if self.rng.random() < 0.5:
            return self.phrase("window_has", label=f"the {control.kind} {control.label}"), "yes"
        taken = {each.label for each in self.screen.controls}
        absent = self.rng.choice([label for label in LABELS[control.kind] if label not in taken])
        return self.phrase("window_has", label=f"the {control.kind} {absent}"), "no"

    def end(self, kind: str) -> Turn | None:
        """The first or the last control of a kind in reading order."""
        controls, end = self._all(kind), self.rng.choice(("first", "last"))
        answer = controls[0 if end == "first" else -1].label
        return (self.phrase("window_ends", end=end, thing=kind), answer) if len(controls) > 1 else None

    def at(self, control: Control) -> Turn:
        """The label of the control in a box that comes before the question."""
        return self.phrase("window_at"), control.label

    def checked(self) -> Turn | None:
        """Labels of all checked boxes in reading order, or "none"; None without boxes."""
        boxes = self._all("checkbox")
        on = [each.label for each in boxes if each.state == "yes"]
        return (self.phrase("window_checked"), "\n".join(on) or "none") if boxes else None

    def describe(self) -> Turn:
        """The title and the number of controls of each kind."""
        counts = [(len(self._all(kind)), kind) for kind in PLURALS]
        parts = [f"{count} {kind if count == 1 else PLURALS[kind]}" for count, kind in counts if count]
        listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        called = f" called {self.screen.title}" if self.screen.title else ""
        return self.phrase("window_kind"), f"A window{called} with {listed}."

    def dialogue(self, task: str, most: int) -> Item:
        """Up to `most` questions. A control that one question names is the answer of no other one.

        What lists everything comes first and what it lists is asked for no more.
        """
        shuffled = self.rng.sample(self.screen.controls, len(self.screen.controls))
        half = (len(shuffled) + 1) // 2
        named, hidden = shuffled[:half], shuffled[half:]
        kind = self.rng.choice(sorted({control.kind for control in shuffled}))
        opening = self.rng.choice((self.read, self.describe, lambda: self.listing(kind), None, None, None))
        first = opening() if opening else None
        at = self.at(hidden[-1]) if hidden and not opening else None
        makers = self._about(named)
        if not opening:
            makers += [self.title, lambda: self.count(kind), lambda: self.end(kind), lambda: at]
            makers += [lambda: self.has(hidden[0])] if hidden else []
            if len(self._all(kind)) <= 3 and not any(each.kind == kind for each in named[:4]):
                makers.append(lambda: self.boxes(kind))
        turns = [turn for maker in self.rng.sample(makers, len(makers)) if (turn := maker())]
        kept = list(dict.fromkeys([first, *turns] if first else turns))[:most]
        item = dialogue_item(task, self.screen.image, kept)
        return self._with_box(item, kept.index(at), hidden[-1]) if at in kept and at else item

    def _about(self, named: Sequence[Control]) -> list[Callable[[], Turn | None]]:
        """Questions that name a control, and which of several is selected."""
        makers: list[Callable[[], Turn | None]] = [partial(self.point, each) for each in named[:2]]
        makers += [partial(self.box, each) for each in named[2:4]]
        if self.rng.random() < 0.3:
            makers.append(self.checked)
        else:
            makers += [partial(self.state, each) for each in named if each.kind in ("checkbox", "field")][:2]
        return makers + [partial(self.chosen, kind) for kind in CHOSEN]

    def _with_box(self, item: Item, turn: int, control: Control) -> Item:
        """The item with the box of a control before the question of a turn."""
        messages = [dict(message) for message in item.messages]
        box = {"type": "box", "box": list(to_thousandths(control.box_px, self.screen.image.size))}
        *before, question = messages[2 * turn]["content"]
        messages[2 * turn]["content"] = [*before, box, question]
        return replace(item, messages=messages)
