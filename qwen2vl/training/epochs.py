"""The length of a run that is given in epochs: how many samples it reads in how many steps.

A step of few samples teaches more than one of many, and a run of few steps teaches nothing: 62 records in one step, three
times over, left the answers of nano as they were. So an epoch has at least 8 steps, and a run at least 60 unless its
length is given.
"""

import math
from dataclasses import dataclass

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError
from qwen2vl.training.run_spec import EpochStage

EPOCHS = 3
"""Number of epochs unless given, where they are long enough."""
MIN_STEPS_PER_EPOCH = 8
MIN_STEPS = 60
"""Number of steps that a run has at least, by more epochs, unless its length is given."""
FILL = 0.97
"""Share of a pack that is filled when the samples of many packs are distributed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The length of a run."""

    samples: int
    """Number of samples that all steps read, repetitions included."""
    steps: int
    most_packs: int
    """Largest number of packs that the samples of a step can need."""


def course_of(stage: EpochStage, tokens: Ints) -> Course:
    """The course of a stage over samples of these lengths. Raises ConfigError for numbers that give none."""
    refuse_no_length(stage)
    count, mean = len(tokens), float(tokens.mean())
    if stage.packs_per_step is None:
        batch = max(1.0, min(stage.batch, count / MIN_STEPS_PER_EPOCH))
    else:
        batch = max(1.0, stage.packs_per_step * stage.budgets.tokens * FILL / mean)
    if stage.steps is not None:
        steps, samples = stage.steps, round(stage.steps * batch)
    else:
        epochs = stage.epochs
        if epochs is None:
            epochs = max(EPOCHS, math.ceil(MIN_STEPS * batch / count))
        samples = max(1, round(epochs * count))
        steps = math.ceil(samples / batch - 1e-9)
    per_step = -(-samples // steps)
    if per_step * int(tokens.max()) <= stage.budgets.tokens:
        return Course(samples=samples, steps=steps, most_packs=1)
    return Course(
        samples=samples, steps=steps, most_packs=min(per_step, math.ceil(2 * per_step * mean / stage.budgets.tokens))
    )


def refuse_no_length(stage: EpochStage) -> None:
    """Raise ConfigError for a number of epochs, steps or samples that gives no run, named as the option of the command."""
    for name, value in (("--steps", stage.steps), ("--batch", stage.batch), ("--packs-per-step", stage.packs_per_step)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1")
    if stage.epochs is not None and not 0 < stage.epochs < math.inf:
        raise ConfigError(f"--epochs is {stage.epochs:g}: it must be over 0")
    if stage.epochs is not None and stage.steps is not None:
        raise ConfigError("--epochs and --steps both give the length of the run: give one of them")
