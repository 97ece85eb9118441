"""The next action on a drawn window for an instruction: one call in the agent's text form.

    Turn on Wifi.  ->  ✿FUNCTION✿: Tap
                       ✿ARGS✿: {"point": [348, 291]}

There are three actions: Tap a point, Type a text into the field at a point, and Done if the window already shows what the
instruction asks for. Points are in thousandths, as in `processing.grounding`. The truth has its own kind:
    {"kind": "action", "name": "Tap", "box_px": [x1, y1, x2, y2], "text": None, "size": [width, height], "scene": {...}}
box_px is None for Done; text is None except for Type. Not here: running the actions, and the system message that declares
them (`processing.agent_text.declare(ACTIONS)`), which takes more tokens than the rest of an item.
"""

from dataclasses import replace
from random import Random
from typing import Any

from drawn_world.item import MAX_TURNS, Box, Item, dialogue_item, image_item, images_part
from drawn_world.screens.toolkits import SELECTED, Toolkit
from drawn_world.screens.window_layouts import draw_window, plan_window
from drawn_world.screens.window_questions import CHOSEN
from drawn_world.screens.windows import Control, Screen
from drawn_world.task import Task
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.processing.agent_text import Action, AgentReply, Call, Parameter, render_reply
from qwen2vl.processing.grounding import to_thousandths

POINT = Parameter(name="point", description="(x, y) in thousandths")
TEXT = Parameter(name="text", description="what to write")
ACTIONS = (
    Action(name="Tap", description="touch a point of the screen", parameters=(POINT,)),
    Action(name="Type", description="write into the field at a point", parameters=(POINT, TEXT)),
    Action(name="Done", description="the screen is as wanted"),
)
GOALS: dict[str, list[str]] = {}
"""Button to what it is good for."""
for _line in LABELS["goal"]:
    GOALS.setdefault(_line.split(": ")[0], []).append(_line.split(": ")[1])


def next_action(rng: Random, split: str, ease: float) -> Item:
    """One instruction for a window."""
    drawn = draw_window(rng, split, ease)
    instruction, answer, truth = instruct(rng, split, drawn, rng.choice(drawn.controls), ease)
    return image_item("next_action", [drawn.image], instruction, answer, truth | {"scene": drawn.described()})


def action_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six instructions for a window, two for a checkbox. Each is about the window as it is shown."""
    drawn = draw_window(rng, split, ease)
    turns = [instruct(rng, split, drawn, control, ease) for control in drawn.controls if control.kind != "checkbox"]
    for control in drawn.controls:
        if control.kind == "checkbox":
            turns += [_switch(rng, split, drawn, control, ease, state) for state in ("yes", "no")]
    if drawn.close_px:
        turns.append((ask(rng, "close_window", ease, split), *_act(drawn, "Tap", drawn.close_px)))
    rng.shuffle(turns)
    kept = turns[:MAX_TURNS]
    item = dialogue_item("action_dialogue", drawn.image, [(instruction, answer) for instruction, answer, _ in kept])
    return replace(item, truth=kept[-1][2] | {"scene": drawn.described()})


def action_steps(rng: Random, split: str, ease: float) -> Item:
    """Two instructions at once, with the window after every action, until it is as wanted. Probability `ease`: one of them.

    Every call is answered by the next screenshot; the last one is Done. What the window already shows takes no action.
    """
    plan = plan_window(rng, split, ease)
    one, other = rng.sample(plan.controls, 2)
    excludes = one.kind == other.kind and one.kind in CHOSEN  # of several options only one stays selected
    wanted = (one,) if excludes or rng.random() < ease else (one, other)
    tasks, calls, images = list[str](), list[str](), [plan.paint().image]
    for control in wanted:
        drawn = plan.paint()
        instruction, answer, truth = instruct(rng, split, drawn, control, ease, plan.toolkit)
        tasks.append(instruction)
        if truth["name"] != "Done":
            if control.kind not in ("button", "menu"):
                plan = plan.after(control, truth["text"] or {"yes": "no", "no": "yes"}.get(control.state, SELECTED))
            calls.append(answer)
            images.append(plan.paint().image)
    drawn = plan.paint()
    done, truth = _act(drawn, "Done")
    text = tasks[0] if len(tasks) == 1 else ask(rng, "then", ease, split, first=tasks[0], second=tasks[1])
    content = [*images_part(images[:1]), {"type": "text", "text": text}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    for call, image in zip(calls, images[1:], strict=True):
        messages += [{"role": "assistant", "content": call}, {"role": "function", "content": images_part([image])}]
    return Item(task="action_steps", messages=messages, answer=done, truth=truth | {"scene": drawn.described()})


def instruct(
    rng: Random, split: str, drawn: Screen, control: Control, ease: float = 0.0, toolkit: Toolkit | None = None
) -> tuple[str, str, dict[str, Any]]:
    """An instruction for a control of the window, in some cases by its purpose, the answer that does it, and the truth.

    toolkit: given if the text that is typed must fit into its field.
    """
    if control.kind == "checkbox":
        return _switch(rng, split, drawn, control, ease, rng.choice(("yes", "no")))
    if control.kind == "field":
        text = control.state if control.state and rng.random() < 0.15 else pick_word(rng, split)
        while toolkit and text != control.state and not toolkit.holds(control, text):
            text = pick_word(rng, split)
        instruction = ask(rng, "type", ease, split, text=text, label=control.label)
        action = _act(drawn, "Done") if text == control.state else _act(drawn, "Type", control.box_px, text)
        return instruction, *action
    goals = GOALS.get(control.label)
    if goals and control.kind == "button" and rng.random() >= ease and rng.random() < 0.4:
        instruction = ask(rng, "reach", ease, split, goal=rng.choice(goals))
        return instruction, *_act(drawn, "Tap", control.box_px)
    wording = {"button": "press", "tab": "open_tab", "menu": "open_menu"}.get(control.kind, "choose")
    instruction = ask(rng, wording, ease, split, label=control.label)
    is_done = control.state == SELECTED
    return instruction, *(_act(drawn, "Done") if is_done else _act(drawn, "Tap", control.box_px))


def _switch(
    rng: Random, split: str, drawn: Screen, control: Control, ease: float, state: str
) -> tuple[str, str, dict[str, Any]]:
    """An instruction that asks for a state of a checkbox, the answer, and the truth."""
    instruction = ask(rng, "turn_on" if state == "yes" else "turn_off", ease, split, label=control.label)
    return instruction, *(_act(drawn, "Done") if control.state == state else _act(drawn, "Tap", control.box_px))


def _act(drawn: Screen, name: str, box_px: Box | None = None, text: str | None = None) -> tuple[str, dict[str, Any]]:
    """The reply with this action, at the middle of the box, and its truth."""
    size = drawn.image.size
    arguments: dict[str, Any] = {}
    if box_px:
        middle = (box_px[0] + box_px[2]) / 2, (box_px[1] + box_px[3]) / 2
        arguments["point"] = list(to_thousandths(middle, size))
    if text is not None:
        arguments["text"] = text
    answer = render_reply(AgentReply(thought="", calls=(Call(name, arguments),)))
    place = list(box_px) if box_px else None
    return answer, {"kind": "action", "name": name, "box_px": place, "text": text, "size": list(size)}


TASKS = (
    Task("next_action", next_action, "agent", in_exam=True),
    Task("action_dialogue", action_dialogue, "agent", lesson=True),
    Task("action_steps", action_steps, "agent", lesson=True),
)
