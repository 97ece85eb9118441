"""A curriculum: which tasks of the drawn world a model is taught, how easy they are, in which order; and its stages.

Every skill begins in its easiest form, alone or nearly alone, and widens when the answers are better than chance: `ease`
falls from 1 to 0. With all fonts, colours, sizes and wordings from the start, no skill gets better than chance
(docs/nano.md has the measurements). The curricula themselves are in the recipes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.training.train_config import Rates, Stage


@dataclass(frozen=True, slots=True)
class Mix:
    """The tasks of one step.

    Their answers should be of similar length: the loss of a step is a mean over tokens, in which the tokens of long answers
    outweigh those of one word.
    """

    ease: float
    """1: the easiest form of the tasks, for example aligned letters of one size on white; 0: the full form."""
    weights: Mapping[str, int]
    """Task -> its share of the samples."""

    @property
    def sources(self) -> dict[str, int]:
        """The shares by source of records: the records of one task at one ease are one source, "read_word@0.25"."""
        return {f"{task}@{self.ease:g}": weight for task, weight in self.weights.items()}


@dataclass(frozen=True, slots=True)
class Lessons:
    """A part of a curriculum."""

    until: int
    """First step after this part."""
    mixes: tuple[Mix, ...]
    """The steps of the part use these mixes in turn."""


READING = {"read_lines": 2, "read_word": 1}
WORDS = {"read_lines": 1, "read_word": 2}
PLACES = {"place_dialogue": 1, "ground": 2, "point": 1}

BUDGETS = Budgets(tokens=896, visual_tokens=896, media=128)
"""Limits of one pack of nano; the two packs of a step hold about 26 conversations."""
PACKS_PER_STEP = 2


def cut_into_stages(
    curriculum: Sequence[Lessons],
    ends: Mapping[str, int],
    *,
    rate: float,
    decay_start: int,
    budgets: Budgets = BUDGETS,
    packs_per_step: int = PACKS_PER_STEP,
) -> tuple[Stage, ...]:
    """The stages of a curriculum. The learning rate continues from stage to stage and falls linearly to 0 at the end.

    Args:
        curriculum: its parts, in order.
        ends: name of each stage -> the step at which it ends. The last one locks the vision tower.
        rate: learning rate before it falls.
        decay_start: step from which the rate falls.
        budgets: limits of one pack.
        packs_per_step: packs of all processes together.
    """
    start, end, stages = 0, max(ends.values()), list[Stage]()

    def remaining(step: int) -> float:
        """Share of the rate at a step."""
        return min(1.0, (end - step) / (end - decay_start))

    for name, until in ends.items():
        peak = remaining(start) * rate
        stages.append(
            Stage(
                name=name,
                steps=until - start,
                rates=Rates(tower=0 if until == end else peak, merger=peak, decoder=peak),
                phases=phases_between(start, until, curriculum),
                budgets=budgets,
                packs_per_step=packs_per_step,
                window=256,
                warmup_steps=0 if start else 200,
                decay=max(0, until - max(start, decay_start)) / (until - start),
                final_rate=remaining(until) / remaining(start),
            )
        )
        start = until
    return tuple(stages)


def phases_between(begin: int, end: int, curriculum: Sequence[Lessons]) -> tuple[Phase, ...]:
    """The part of a curriculum between two steps, as the phases of a stage, whose steps count from 0."""
    starts = [0, *(lessons.until for lessons in curriculum)]
    inside = [each for start, each in zip(starts, curriculum, strict=False) if start < end and each.until > begin]
    phases = [
        Phase(mixtures=tuple(mix.sources for mix in lessons.mixes), until=min(lessons.until, end) - begin)
        for lessons in inside
    ]
    return (*phases[:-1], Phase(mixtures=phases[-1].mixtures))


def join_curricula(*curricula: Sequence[Lessons], share: float = 1.0) -> tuple[Lessons, ...]:
    """One curriculum from several, one after the other, in which every part has this share of its steps."""
    joined: list[Lessons] = []
    for curriculum in curricula:
        before = joined[-1].until if joined else 0
        joined += [replace(lessons, until=before + round(share * lessons.until)) for lessons in curriculum]
    return tuple(joined)
