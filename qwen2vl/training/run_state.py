"""The state of a run: everything that decides how it continues, which part of it a checkpoint holds, and how it is restored."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qwen2vl.common.errors import CheckpointError
from qwen2vl.data.plan import Cursor
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.checkpoints import Checkpoints, Tensors
from qwen2vl.training.guard import StepGuard
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.parts import is_adapter, set_trained
from qwen2vl.training.train_config import Stage, TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SkippedStep:
    """A step of the current stage that the guard skipped, and that is done again before the stage ends.

    It waits until the window of its stream is used up; where a step is a window, until the epoch is. Then the gradients
    have changed, and the learning rate of long runs is still what it was.
    """

    cursor: Cursor
    """Position of the step, from which the plan gives its packs."""
    stream: str
    window: int
    """Number of the last window of the stream before the step is due."""

    def is_due(self, after: Cursor) -> bool:
        """Whether the step is done again, when the stage has come to this cursor."""
        return after.windows[self.stream].number > self.window

    def to_dict(self) -> dict[str, Any]:
        """The step as plain data for JSON."""
        return {"cursor": self.cursor.to_dict(), "stream": self.stream, "window": self.window}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "SkippedStep":
        """The step that `to_dict` describes."""
        return cls(Cursor.from_dict(raw["cursor"]), raw["stream"], raw["window"])


class RunState:
    """Weights, optimizer, guard and position of a run. A new one is at the first step of the first stage.

    A checkpoint is written after a step, before the next stage is entered. So at the border of two stages the position is
    already that of the new stage, while the optimizer is still that of the stage that ended.
    """

    def __init__(self, model: Qwen2VL, stages: Sequence[Stage], config: TrainConfig) -> None:
        self.model, self.stages, self.config = model, stages, config
        self.global_step = 0
        """Number of steps done, over all stages."""
        self.stage_number = 0
        """Index of the stage that the next step belongs to."""
        self.cursor = Cursor()
        """Position of the next step in the data of its stage."""
        self.samples = self.failures = 0
        """Number of samples that the plan named, and of those among them that could not be read."""
        self.guard = StepGuard(config.spike, config.max_skipped)
        self.skipped: list[SkippedStep] = []
        """Steps of the stage that are still to be done again, in the order of the plan."""
        set_trained(model, self.stage.rates)
        self.optimizer = MasterOptimizer(model, config)

    @property
    def stage(self) -> Stage:
        """Stage that the next step belongs to."""
        return self.stages[self.stage_number]

    @property
    def stage_step(self) -> int:
        """Number of steps done in that stage."""
        return self.cursor.step

    def postpone(self, after: Cursor) -> None:
        """Leave the current step for later. after: cursor of the step that follows it."""
        stream, epoch = self.stage.stream_at(self.stage_step), self.stage.steps_per_epoch
        end_of_epoch = (self.stage_step // epoch + 1) * epoch - 1 if epoch else 0
        self.skipped.append(SkippedStep(self.cursor, stream, max(after.windows[stream].number, end_of_epoch)))

    def take_due(self, after: Cursor) -> list[Cursor]:
        """Cursors of the skipped steps that are to be done again before the step at this cursor; they are skipped no more."""
        is_end = after.step == self.stage.steps
        due = [skipped for skipped in self.skipped if is_end or skipped.is_due(after)]
        self.skipped = [skipped for skipped in self.skipped if skipped not in due]
        return [skipped.cursor for skipped in due]

    def enter_stage(self, stage: Stage) -> None:
        """Freeze and unfreeze for a stage. Parameters that stay trained keep their masters and moments."""
        set_trained(self.model, stage.rates)
        self.optimizer = MasterOptimizer(self.model, self.config, self.optimizer)

    def advance(self, cursor: Cursor) -> None:
        """Count a step as done; the next one begins at the cursor, or with the next stage when this one is over."""
        self.global_step, self.cursor = self.global_step + 1, cursor
        if self.stage_step == self.stage.steps and self.stage_number + 1 < len(self.stages):
            # The next stage continues the epochs of this one, but starts new windows of samples to pack.
            self.stage_number, self.cursor = self.stage_number + 1, Cursor(drawn=cursor.drawn)

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint of this step, in the background. Raises Qwen2VLError when the one before was not written."""
        facts = {
            "stage": self.stage.name,
            "cursor": self.cursor.to_dict(),
            "samples": self.samples,
            "failures": self.failures,
            "guard": self.guard.state(),
            "skipped": [skipped.to_dict() for skipped in self.skipped],
        }
        checkpoints.save(self.global_step, self.tensors(), facts)

    def resume(self, checkpoints: Checkpoints) -> None:
        """Restore the newest checkpoint that can be read; without any checkpoint nothing changes.

        Raises CheckpointError when there are checkpoints and none can be read: training from scratch would overwrite them.
        """
        refusal = None
        for step in reversed(checkpoints.steps()):
            try:
                self._restore(checkpoints, step)
                return
            except CheckpointError as error:
                refusal = error
                log.warning("%s", error)
        if refusal is not None:
            raise refusal

    def _restore(self, checkpoints: Checkpoints, step: int) -> None:
        facts = checkpoints.facts(step)
        stage_number = [stage.name for stage in self.stages].index(facts["stage"])
        cursor = Cursor.from_dict(facts["cursor"])
        # At a border the checkpoint holds the moments of the stage that ended.
        is_border = cursor.step == 0 and stage_number > 0
        self.enter_stage(self.stages[stage_number - is_border])
        tensors = self.tensors()
        checkpoints.restore(step, tensors)
        self.optimizer.copy_to_model()
        torch.set_rng_state(tensors["random"]["cpu"])
        if "cuda" in tensors["random"]:
            torch.cuda.set_rng_state(tensors["random"]["cuda"])
        self.global_step, self.stage_number, self.cursor = step, stage_number, cursor
        self.samples, self.failures = facts["samples"], facts["failures"]
        self.guard.restore(facts["guard"])
        self.skipped = [SkippedStep.from_dict(raw) for raw in facts["skipped"]]

    def tensors(self) -> Tensors:
        """Tensors of a checkpoint: weights, as float32 masters where they are trained; moments; random state of torch.

        In a model with an adapter only the adapter is saved, because the other weights never change.
        """
        names = [name for name, _ in self.model.named_parameters()]
        saved = [name for name in names if is_adapter(name)] or names
        parameters, masters = dict(self.model.named_parameters()), self.optimizer.masters
        random: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        weights = {name: masters.get(name, parameters[name]) for name in saved}
        return {"weights": weights, "moments": self.optimizer.moments, "random": random}
