"""Lessons about windows: read a whole window, point at controls, give states and title. For training only."""

from random import Random

from drawn_world.item import MAX_TURNS, Item, dialogue_item
from drawn_world.screens.windows import ask_point, ask_state, make_cells, make_screen
from drawn_world.task import Task
from drawn_world.wording import ask


def screen_lines(rng: Random, split: str, ease: float) -> Item:
    """The text of a window from the top, control by control."""
    drawn = make_screen(rng, split, ease)
    shown = (f"{each.label} {each.state}" if each.kind == "field" else each.label for each in drawn.controls)
    return dialogue_item(
        "screen_lines", drawn.image, [(ask(rng, "read_lines", ease), "\n".join([drawn.title, *shown]))]
    )


def control_one(rng: Random, split: str, ease: float) -> Item:
    """The place or, sometimes, the state of one control of a window. Ease 1: two buttons in cells."""
    if rng.random() < ease:
        drawn = make_cells(rng, split, ease)
    else:
        drawn = make_screen(rng, split, ease, most=2 if rng.random() < ease else None)
    control = rng.choice(drawn.controls)
    asks_state = control.kind in ("checkbox", "field") and rng.random() < 0.3
    turn = ask_state(rng, control, ease) if asks_state else ask_point(rng, control, drawn.image.size, ease)[:2]
    return dialogue_item("control_one", drawn.image, [turn])


def screen_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about a window: places of controls, states, and the title."""
    drawn = make_screen(rng, split, ease)
    turns = [ask_point(rng, control, drawn.image.size, ease)[:2] for control in drawn.controls]
    turns += [ask_state(rng, control, ease) for control in drawn.controls if control.kind in ("checkbox", "field")]
    turns.append((ask(rng, "window_title", ease), drawn.title))
    rng.shuffle(turns)
    return dialogue_item("screen_dialogue", drawn.image, turns[:MAX_TURNS])


TASKS = (
    Task("screen_lines", screen_lines, "ocr", lesson=True),
    Task("control_one", control_one, "grounding", lesson=True),
    Task("screen_dialogue", screen_dialogue, "grounding", lesson=True),
)
