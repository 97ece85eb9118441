"""Dialogues about films: what moves and where to, what comes and goes, what is faster, what changes. For training only.

The questions of a dialogue are chosen so that none is answered by the text of an earlier one. Not here: how films are
drawn (film_scenes) and the tasks that exams ask (motion, video_tasks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from drawn_world.glyphs.emoji import names_at
from drawn_world.item import MAX_TURNS, Item, Turn, talk, video_part
from drawn_world.shapes import kinds
from drawn_world.shapes.shape_scenes import article
from drawn_world.task import Task
from drawn_world.videos.film_paths import lanes, path
from drawn_world.videos.film_scenes import (
    LOOKS,
    Actor,
    Film,
    FilmSetting,
    Part,
    Step,
    box_of_step,
    cast,
    choose_setting,
    free_step,
    settle,
    shape_actor,
)
from drawn_world.videos.video_scenes import blinks
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR


@dataclass(frozen=True, slots=True)
class Interview:
    """The stream of random numbers, split and ease of one dialogue."""

    rng: Random
    split: str
    ease: float

    def ask(self, question: str, **parts: str) -> str:
        """A wording of a question."""
        return ask(self.rng, question, self.ease, self.split, **parts)

    def look(self, actors: Sequence[Actor], open_to: Sequence[Actor] | None = None) -> list[Turn]:
        """The number of all actors, whether one is there, and the colour or kind of others, no actor twice.

        open_to: the actors that later questions do not name; None for all.
        """
        rng, left = self.rng, list(actors if open_to is None else open_to)
        rng.shuffle(left)
        turns = [(self.ask("film_number"), str(len(actors)))] if rng.random() < 0.6 else []
        if left and rng.random() < 0.4:
            present = rng.random() < 0.5
            turns.append(self._presence(left.pop(0)) if present else self._absence(actors, left[0]))
        for actor in [actor for actor in left if actor.colour][:3]:
            if rng.random() < 0.6:
                turns.append((self.ask("film_colour", kind=actor.kind), actor.colour))
            else:
                turns.append((self.ask("film_shape", colour=actor.colour), actor.kind))
        return turns

    def _presence(self, actor: Actor) -> Turn:
        return self.ask("film_present", thing=article(actor.name)), "yes"

    def _absence(self, actors: Sequence[Actor], actor: Actor) -> Turn:
        """A question for what is not shown: another glyph, or a shape of the colour of one that is shown."""
        shown, names = {other.kind for other in actors}, kinds.KINDS if actor.colour else names_at(self.ease)
        kind = self.rng.choice([kind for kind in names if kind not in shown])
        return self.ask("film_present", thing=article(f"{actor.colour} {kind}".strip())), "no"

    def called(self, actor: Actor) -> str:
        """The kind or the full name."""
        return self.rng.choice((actor.kind, actor.name))

    def item(self, task: str, film: Film, turns: Sequence[Turn]) -> Item:
        """The dialogue."""
        media = video_part(film.frames(self.rng))
        return talk(task, media, list(turns)[:MAX_TURNS], scene=film.facts())


def motion_talk(rng: Random, split: str, ease: float) -> Item:
    """One actor moves, up to three others do not; in one film of 16 nothing moves. Ease 1: one actor, four directions."""
    setting = choose_setting(rng, split, ease)
    count = 1 if rng.random() < ease else rng.choice((1, 1, 2, 2, 3, 4))
    mover, *others = cast(rng, ease, setting.ground, count)
    steps, direction = path(rng, setting, ease, mover)
    if rng.random() < 0.06:
        steps, direction = [steps[0]] * setting.num_frames, ""
    taken = [box_of_step(mover, step) for step in steps]
    parts: list[Part] = [(mover, tuple(steps))]
    for other in others:
        step = free_step(rng, setting.size, other, setting.side(rng, ease, 0.3), taken)
        if step:
            taken.append(box_of_step(other, step))
            parts.insert(0, (other, (step,) * setting.num_frames))
    others = [actor for actor, _ in parts if actor is not mover]
    talk_about = Interview(rng, split, ease)
    return talk_about.item("motion_talk", setting.film(parts), _about_motion(talk_about, mover, others, direction))


def _about_motion(about: Interview, mover: Actor, others: list[Actor], direction: str) -> list[Turn]:
    """Colours and numbers first, then what moves and where to. direction: "" if nothing moves."""
    rng, everyone = about.rng, [mover, *others]
    first = [(about.ask("film_still_image"), "yes")] if direction and rng.random() < 0.15 else []
    form = rng.choice(("happens", "named", "named", "mover", "mover", "moves", "still"))
    if not direction:
        nothing = (
            (about.ask("film_happens"), "Nothing moves."),
            (about.ask("film_still_image"), "no"),
            (about.ask("film_moves", thing=about.called(mover)), "no"),
        )
        return [*first, *about.look(everyone), rng.choice(nothing)]
    if form == "happens":
        told = (about.ask("film_happens"), f"The {mover.name} moves {direction}.")
        return [*first, *about.look(everyone, others), told]
    where = (about.ask("film_way"), direction)
    if form == "moves":
        actor = mover if not others or rng.random() < 0.5 else rng.choice(others)
        turns = [(about.ask("film_moves", thing=about.called(actor)), "yes" if actor is mover else "no"), where]
    elif form == "still" and len(others) == 1:
        turns = [(about.ask("film_still"), others[0].name), where]
    elif form == "mover":
        turns = rng.sample([(about.ask("mover"), mover.name), where], 2)
    else:
        turns = [(about.ask("film_direction", thing=about.called(mover)), direction)]
    return [*first, *about.look(everyone)[: MAX_TURNS - 1 - len(turns)], *turns]


def event_talk(rng: Random, split: str, ease: float) -> Item:
    """One to four things that come, go, stay or blink. Ease 1: two that come one after the other."""
    setting = choose_setting(rng, split, ease, least=8)
    if rng.random() < ease:
        roles = ["comes", "comes"]
    else:
        roles = rng.choice((["comes"] * 2, ["comes"] * 2, ["comes"] * 3, ["comes"], ["goes"], ["blinks"], ["blinks"]))
        roles = roles + rng.choice(([], ["stays"], ["goes"] if roles[0] == "comes" else ["blinks"]))
    if "blinks" in roles:
        setting = replace(setting, num_frames=max(setting.num_frames, 12))
    actors = cast(rng, ease, setting.ground, len(roles))
    places = settle(rng, setting, ease, actors)
    visible = _appearances(rng, setting, ease, roles)
    parts: list[Part] = [
        (actor, tuple(step if index in frames else None for index in range(setting.num_frames)))
        for actor, step, frames in zip(actors, places, visible, strict=True)
    ]
    about = Interview(rng, split, ease)
    return about.item("event_talk", setting.film(parts), _about_events(about, parts))


def _appearances(rng: Random, setting: FilmSetting, ease: float, roles: Sequence[str]) -> list[set[int]]:
    """The frames in which each role is visible."""
    frames = setting.num_frames
    starts = iter(sorted(rng.sample(range(1, frames // 2), roles.count("comes"))))
    odd = 0 if rng.random() < ease else rng.randint(0, 1)
    visible = []
    for role in roles:
        if role == "comes":
            first = next(starts) * 2 - odd
            visible.append(set(range(first, frames)))
        elif role == "goes":
            visible.append(set(range(rng.randint(2, frames - 2))))
        elif role == "stays":
            visible.append(set(range(frames)))
        else:
            number = rng.randint(1, frames // 4)
            visible.append({each for span in blinks(rng, number, frames, ease, 1) for each in range(*span)})
    return visible


def _runs(steps: Sequence[Step | None]) -> list[int]:
    """First frames of the stretches in which an actor is visible."""
    return [i for i, step in enumerate(steps) if step and (i == 0 or steps[i - 1] is None)]


def _about_events(about: Interview, parts: Sequence[Part]) -> list[Turn]:
    """Colours and numbers first, then up to four questions whose one answer the film shows."""
    rng, runs = about.rng, {actor.name: _runs(steps) for actor, steps in parts}
    blinking = {actor.name for actor, steps in parts if len(runs[actor.name]) > 1 or not (steps[0] or steps[-1])}
    steady = [(actor, steps) for actor, steps in parts if actor.name not in blinking]
    comers = sorted((runs[actor.name][0], actor.name) for actor, steps in steady if not steps[0])
    leavers = [actor.name for actor, steps in steady if not steps[-1]]
    residents = [actor.name for actor, steps in steady if steps[0] and steps[-1]]
    there_first = [actor.name for actor, steps in parts if steps[0]]
    turns: list[Turn] = []
    if len(comers) > 1 and not blinking:
        turns.append((about.ask("film_last"), comers[-1][1]))
        if not there_first:
            turns.append((about.ask("film_first"), comers[0][1]))
        if not there_first and len(comers) > 2:
            turns.append((about.ask("film_second"), comers[1][1]))
        turns = rng.sample(turns, len(turns))[: max(1, len(comers) - 1)]  # all would answer the last one
    if len(leavers) == 1 and not blinking:
        turns.append((about.ask("film_gone"), leavers[0]))
    if len(residents) == 1 and len(parts) > 1:
        turns.append((about.ask("film_stays"), residents[0]))
    elif len(there_first) == 1 and len(parts) > 1 and not leavers:
        turns.append((about.ask("film_start"), there_first[0]))
    turns += [
        (about.ask("events", thing=about.called(actor)), str(len(runs[actor.name])))
        for actor, _ in parts
        if actor.name in blinking
    ]
    if not blinking and len(comers) + len(leavers) == 1 and (not turns or rng.random() < 0.6):
        told = f"The {comers[0][1]} appears." if comers else f"The {leavers[0]} disappears."
        turns = [(about.ask("film_happens"), told)]
    rng.shuffle(turns)
    return [*about.look([actor for actor, _ in parts])[: MAX_TURNS - len(turns[:4])], *turns[:4]]


def speed_talk(rng: Random, split: str, ease: float) -> Item:
    """Two actors in two lanes, one at least 1.6 times as fast as the other. Ease 1: both go right."""
    setting = choose_setting(rng, split, ease, least=4)
    actors = cast(rng, ease, setting.ground, 2)
    (fast, fast_way), (slow, slow_way) = lanes(rng, setting, ease, actors)
    parts: list[Part] = [(actors[0], tuple(fast)), (actors[1], tuple(slow))]
    about = Interview(rng, split, ease)
    form = rng.randrange(2)
    turns = [(about.ask(("faster", "slower")[form]), actors[form].name)]
    if rng.random() < 0.3:
        turns.append((about.ask("film_same_way"), "yes" if fast_way == slow_way else "no"))
    else:
        ways = zip(actors, (fast_way, slow_way), strict=True)
        turns += [(about.ask("film_direction", thing=about.called(actor)), way) for actor, way in ways]
    turns = rng.sample(turns, len(turns))
    return about.item("speed_talk", setting.film(parts), [*about.look(actors)[: MAX_TURNS - len(turns)], *turns])


def change_talk(rng: Random, split: str, ease: float) -> Item:
    """One of one to three shapes takes another colour, becomes another kind, grows or shrinks."""
    setting = choose_setting(rng, split, ease, least=4)
    count = 1 if rng.random() < ease else rng.randint(1, 3)
    look = "smooth" if rng.random() < ease else rng.choice(LOOKS)
    *shown, spare = (replace(actor, look=look) for actor in cast(rng, 1.0, setting.ground, count + 1))
    places, about = settle(rng, setting, ease, shown), Interview(rng, split, ease)
    makers = (_new_colour, _new_kind, _new_size)[: 3 if places[0][2] >= FACTOR - 3 else 2]
    make = rng.choice(makers)
    parts, turns = make(about, setting, shown[0], spare, places[0])
    if make is not _new_size and rng.random() < 0.3:
        turns.insert(0, (about.ask("film_still_image"), "no"))
    still: list[Part] = [
        (actor, (step,) * setting.num_frames) for actor, step in zip(shown[1:], places[1:], strict=True)
    ]
    return about.item("change_talk", setting.film([*parts, *still]), [*about.look(shown, shown[1:]), *turns])


def _cut(setting: FilmSetting, rng: Random, old: Actor, new: Actor, step: Step) -> list[Part]:
    """The old actor, then the new one with the same centre."""
    moment, frames = rng.randint(1, setting.num_frames - 1), setting.num_frames
    x1, y1, x2, y2 = box_of_step(old, step)
    width, height = new.extent(step[2])
    x, y = (x1 + x2 - width) // 2, (y1 + y2 - height) // 2
    there = (max(0, min(setting.size[0] - width, x)), max(0, min(setting.size[1] - height, y)), step[2])
    return [
        (old, (step,) * moment + (None,) * (frames - moment)),
        (new, (None,) * moment + (there,) * (frames - moment)),
    ]


def _new_colour(
    about: Interview, setting: FilmSetting, old: Actor, spare: Actor, step: Step
) -> tuple[list[Part], list[Turn]]:
    rng, new = about.rng, shape_actor(about.rng, old.kind, spare.colour, old.look)
    parts = _cut(setting, rng, old, replace(new, turn=old.turn), step)
    if rng.random() < 0.35:
        return parts, [(about.ask("film_happens"), f"The {old.name} turns {new.colour}.")]
    before = (about.ask("film_colour_before", thing=old.kind), old.colour)
    after = rng.choice(
        ((about.ask("changed_colour"), new.colour), (about.ask("film_colour_after", thing=old.kind), new.colour))
    )
    what = [(about.ask("changed_what"), old.kind)]
    return parts, rng.choice(([*what, after], rng.sample([before, after], 2)))


def _new_kind(
    about: Interview, setting: FilmSetting, old: Actor, spare: Actor, step: Step
) -> tuple[list[Part], list[Turn]]:
    rng, new = about.rng, shape_actor(about.rng, spare.kind, old.colour, old.look)
    parts = _cut(setting, rng, old, replace(new, rgb=old.rgb), step)
    if rng.random() < 0.35:
        return parts, [(about.ask("film_happens"), f"The {old.name} turns into {article(new.kind)}.")]
    after = rng.choice(
        ((about.ask("changed_shape"), new.kind), (about.ask("film_shape_after", thing=old.kind), new.kind))
    )
    return parts, [after]


def _new_size(
    about: Interview, setting: FilmSetting, old: Actor, spare: Actor, step: Step
) -> tuple[list[Part], list[Turn]]:
    """Grows or shrinks to 0.4 to 0.7 of the larger size about its centre, which stays."""
    rng, frames = about.rng, setting.num_frames
    x1, y1, x2, y2 = box_of_step(old, step)
    small = max(8, round(step[2] * rng.uniform(0.4, 0.7)))
    sides = [round(small + (step[2] - small) * index / (frames - 1)) for index in range(frames)]
    bigger = rng.random() < 0.5
    steps = []
    for side in sides if bigger else reversed(sides):
        width, height = old.extent(side)
        steps.append(((x1 + x2 - width) // 2, (y1 + y2 - height) // 2, side))
    how = "bigger" if bigger else "smaller"
    if rng.random() < 0.35:
        return [(old, tuple(steps))], [(about.ask("film_happens"), f"The {old.name} gets {how}.")]
    return [(old, tuple(steps))], [(about.ask("film_grows", thing=about.called(old)), how)]


TASKS = (
    Task("motion_talk", motion_talk, "video", lesson=True),
    Task("event_talk", event_talk, "video", lesson=True),
    Task("speed_talk", speed_talk, "video", lesson=True),
    Task("change_talk", change_talk, "video", lesson=True),
)
