"""Windows: the task of the exam, and lessons: read a whole window, find controls, give states, counts and titles.

Not here: the questions (window_questions), actions (actions), and windows (window_layouts, windows).
"""

from random import Random

from drawn_world.item import MAX_TURNS, Item, dialogue_item, image_item, place_truth, text_truth
from drawn_world.screens.window_layouts import draw_window
from drawn_world.screens.window_questions import WindowQuestions
from drawn_world.screens.windows import ask_point, ask_state, make_cells
from drawn_world.task import Task, without_ease
from drawn_world.typesetting import with_scene
from drawn_world.wording import ask


def screen(rng: Random, split: str) -> Item:
    """Point at a control, or give the state of a checkbox, the content of a field or the title."""
    drawn = draw_window(rng, split)
    roll = rng.random()
    boxes = [control for control in drawn.controls if control.kind == "checkbox"]
    fields = [control for control in drawn.controls if control.kind == "field" and control.state]
    if boxes and roll < 0.3:
        question, answer = ask_state(rng, rng.choice(boxes))
        truth = text_truth(answer)
    elif fields and roll < 0.5:
        question, answer = ask_state(rng, rng.choice(fields))
        truth = text_truth(answer, read=[answer])
    elif roll > 0.92 and drawn.title:
        question, answer, truth = ask(rng, "window_title"), drawn.title, text_truth(drawn.title)
    else:
        target = rng.choice(drawn.controls)
        question, answer, label = ask_point(rng, target, drawn.image.size)
        truth = place_truth("point", target.box_px, drawn.image.size, label)
    return image_item("screen", [drawn.image], question, answer, truth)


def screen_lines(rng: Random, split: str, ease: float) -> Item:
    """The text of a window from the top, control by control."""
    drawn = draw_window(rng, split, ease)
    turn = WindowQuestions(rng=rng, screen=drawn, split=split, ease=ease).read()
    return with_scene(dialogue_item("screen_lines", drawn.image, [turn]), drawn.described())


def screen_boxes(rng: Random, split: str, ease: float) -> Item:
    """The boxes of all controls of one kind in reading order, each with its label."""
    drawn = draw_window(rng, split, ease)
    kind = rng.choice(sorted({control.kind for control in drawn.controls}))
    turn = WindowQuestions(rng=rng, screen=drawn, split=split, ease=ease).boxes(kind)
    return with_scene(dialogue_item("screen_boxes", drawn.image, [turn]), drawn.described())


def control_one(rng: Random, split: str, ease: float) -> Item:
    """The place or, sometimes, the state of one control of a window. Ease 1: two buttons in cells."""
    if rng.random() < ease:
        drawn = make_cells(rng, split, ease)
    else:
        drawn = draw_window(rng, split, ease, most=2 if rng.random() < ease else None)
    control, questions = rng.choice(drawn.controls), WindowQuestions(rng=rng, screen=drawn, split=split, ease=ease)
    turn = questions.state(control) if rng.random() < 0.3 else None
    return dialogue_item("control_one", drawn.image, [turn or questions.point(control)])


def screen_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about a window: places of controls, states, labels, counts, and the title."""
    drawn = draw_window(rng, split, ease)
    questions = WindowQuestions(rng=rng, screen=drawn, split=split, ease=ease)
    return with_scene(questions.dialogue("screen_dialogue", MAX_TURNS), drawn.described())


TASKS = (
    Task("screen", without_ease(screen), "grounding", in_exam=True),
    Task("screen_lines", screen_lines, "ocr", lesson=True),
    Task("screen_boxes", screen_boxes, "grounding", lesson=True),
    Task("control_one", control_one, "grounding", lesson=True),
    Task("screen_dialogue", screen_dialogue, "grounding", lesson=True),
)
