"""The training loop: read a batch, train on it, log, validate, save; stages follow one another; a run can stop at any step.

Words used throughout `training`:

    pack     samples that fill one budget of tokens
    row      packs that run through the model together, in one forward and backward pass
    batch    packs that one process trains on in one step
    step     one update of the weights; `global_step` counts over the run, `stage_step` over a stage

The plan alone decides what is read; the loop asks for the next batch. What a run saves and restores: `run_state`.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.data.loader import StepData, StepLoader
from qwen2vl.data.plan import Cursor, Plan
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import LoadedPack, SampleReader
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import pack
from qwen2vl.training.guard import Fault
from qwen2vl.training.loss import token_loss
from qwen2vl.training.machine import peak_flops, peak_memory_bytes
from qwen2vl.training.monitoring import Monitor
from qwen2vl.training.run_directory import Line, RunDirectory
from qwen2vl.training.run_state import RunState
from qwen2vl.training.step_totals import StepTotals
from qwen2vl.training.train_config import Stage, TrainConfig

log = logging.getLogger(__name__)

MIN_FAILURES = 20
"""Number of unreadable samples up to which their share is not judged: a few failures say nothing about the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Functions of the caller that the loop calls, in the first process only."""

    on_step: Callable[[Line], None]
    """Receives the metrics of every step."""
    validate: Callable[[Qwen2VL], Line]
    """Returns held-out metrics, among them "validation_loss"; {} for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The plan of a stage, and the reader of the samples that it names."""

    plan: Plan
    reader: SampleReader


class Trainer:
    """One training run, in one of the processes that share it."""

    def __init__(
        self,
        model: Qwen2VL,
        stages: Sequence[Stage],
        config: TrainConfig,
        run: RunDirectory,
        events: Events,
        data: Callable[[Stage], StageData],
        *,
        replicas: Replicas | None = None,
        num_workers: int = 1,
    ) -> None:
        self.model, self.config, self.run_directory = model, config, run
        self.events, self.data = events, data
        self.replicas, self.num_workers = replicas or Replicas(), num_workers
        self.state = RunState(model, stages, config)
        self.monitor = Monitor(run, config)
        self.num_steps = sum(stage.steps for stage in stages)
        self.end = self.num_steps
        """Number of steps at which this start of the run ends."""
        self.stop_requested: Callable[[], bool] = lambda: False
        self.is_stopping = False
        """Whether some process was asked to stop, in which case all of them stop after the same step."""
        self.peak_flops = peak_flops(model.device, model.dtype) * self.replicas.size

    def train(self, max_steps: int | None = None) -> int:
        """Train from the newest checkpoint to the end of the last stage or to `max_steps`; return the number of steps done.

        Saves every `save_every` steps, at the end, and on SIGTERM or Ctrl-C. The first process logs, validates and saves.
        Raises Qwen2VLError when too many steps were skipped or too many samples failed, CheckpointError when there are
        checkpoints and none can be read.
        """
        state, leads = self.state, self.replicas.leads
        self.end, self.is_stopping = min(self.num_steps, max_steps or self.num_steps), False
        state.resume(self.run_directory.checkpoints)
        if leads:
            self.run_directory.discard_after(state.global_step)
        monitor = self.monitor.open(state.global_step + 1) if leads else nullcontext()
        with stop_signals() as self.stop_requested, monitor:
            while state.global_step < self.end and not self.is_stopping:
                self.train_stage()
        self.run_directory.checkpoints.wait()
        return state.global_step

    def train_stage(self) -> None:
        """Train to the end of the current stage, or until this start of the run ends."""
        stage = self.state.stage
        self.state.enter_stage(stage)
        count = min(stage.steps - self.state.stage_step, self.end - self.state.global_step)
        for batch in self.loader(stage).steps(self.state.cursor, count):
            self.train_step(batch)
            if self.is_stopping:
                return

    def loader(self, stage: Stage) -> StepLoader:
        """Reader of the batches of this process."""
        data, rank = self.data(stage), self.replicas.rank
        quarantine = Quarantine(self.run_directory.path / "quarantine" / stage.name, rank)
        return StepLoader(
            data.plan, data.reader, quarantine, rank=rank, size=self.replicas.size, num_workers=self.num_workers
        )

    def train_step(self, batch: StepData) -> Line:
        """Train on one batch, then on skipped ones that are due; return the metrics of the step."""
        began = time.perf_counter()
        totals = self.add_up(batch)
        line = self.update(batch, totals)
        line |= self.measure(batch, totals, time.perf_counter() - began + batch.waited_s)
        if due := self.state.take_due(batch.cursor):
            line["repeats"] = [self.repeat_step(cursor) for cursor in due]
        self.state.advance(batch.cursor)
        self.report(line)
        return line

    def repeat_step(self, cursor: Cursor) -> Line:
        """Train on a step that was skipped, as a part of the current step; return its metrics.

        Its learning rate is that of its own place in the schedule: at the end of a stage the rate is near zero.
        """
        batch = self.loader(self.state.stage).step(cursor)
        line = self.update(batch, self.add_up(batch), is_repeat=True)
        kept = ("loss", "gradient_norm", "plan_digest", "skipped")
        return {"stage_step": batch.step + 1} | {name: line[name] for name in kept if name in line}

    def add_up(self, batch: StepData) -> StepTotals:
        """Collect the gradients of a batch and its totals, over all processes."""
        totals = self.new_totals(batch)
        self.forward_backward(rows_of(batch.packs, self.config.packs_per_row), totals)
        self.reduce(totals)
        return totals

    def new_totals(self, batch: StepData) -> StepTotals:
        """Totals of a step, with what is known before its first row."""
        totals = StepTotals(self.state.stage.sources, self.model.config.vision.merge_unit)
        totals.add("packs", len(batch.packs))
        totals.add("failed", len(batch.failures))
        totals.add("stop", self.stop_requested())
        return totals

    def forward_backward(self, rows: Iterable[Sequence[LoadedPack]], totals: StepTotals) -> None:
        """Collect the gradients of the loss summed over all rows, and add the rows to the totals."""
        for packs in rows:
            inputs = pack([each.inputs for each in packs]).to(self.model.device)
            loss = token_loss(self.model, inputs)
            if loss.count:
                loss.total.backward()
                self.state.optimizer.collect()
            totals.add_row(inputs, loss, [document for each in packs for document in each.documents])

    def reduce(self, totals: StepTotals) -> None:
        """Sum totals and gradients over all processes. From here on every process decides the same."""
        self.replicas.sum([totals.sums])
        self.state.optimizer.reduce(self.replicas)
        self.is_stopping = totals["stop"] > 0
        self.count_samples(totals)

    def count_samples(self, totals: StepTotals) -> None:
        """Count the samples of a step. Raises Qwen2VLError, in all processes, when too many could not be read."""
        state, limit = self.state, self.config.max_quarantined
        state.samples += int(totals["samples"])
        state.failures += int(totals["failed"])
        if state.failures > max(MIN_FAILURES, limit * state.samples):
            raise Qwen2VLError(
                f"{state.failures} of {state.samples} samples could not be read, over the limit of {limit:.0%}: "
                f'the list is in "{self.run_directory.path / "quarantine"}"'
            )

    def update(self, batch: StepData, totals: StepTotals, *, is_repeat: bool = False) -> Line:
        """Update the weights, or skip the step when the guard says so; return loss, rates and norms of gradients.

        is_repeat: whether the step was skipped before: then a spike is clipped to its limit, and only figures that are not
        finite are skipped.
        """
        stage, optimizer, guard = self.state.stage, self.state.optimizer, self.state.guard
        count = max(totals["supervised"], 1.0)
        loss, rates, norms = totals["loss"] / count, stage.learning_rates(batch.step), optimizer.norms(count)
        norm = sum(norm**2 for norm in norms.values()) ** 0.5
        line = {
            "step": self.state.global_step + 1,
            "steps": self.num_steps,
            "stage": stage.name,
            "loss": loss,
            "plan_digest": batch.digest,
            "token_accuracy": totals["correct"] / count,
            "learning_rate": {part: rate for part, rate in rates.items() if rate},
            "gradient_norm": norm,
            "gradient_norm_by_part": dict(norms),
        }
        mixture = stage.stream_at(batch.step)
        limit = guard.limit(mixture)
        fault = guard.judge(loss, norm, mixture, supervised=totals["supervised"])
        if fault is None or (is_repeat and fault.is_finite):
            optimizer.step(rates, divisor=count, max_norm=limit)
            guard.done_later += is_repeat
            return line
        return line | self.skip(batch, fault, is_repeat=is_repeat)

    def skip(self, batch: StepData, fault: Fault, *, is_repeat: bool = False) -> Line:
        """Leave the weights as they are and warn; the step is done again later, once.

        Raises Qwen2VLError when too many of the last steps were skipped.
        """
        state, global_step = self.state, self.state.global_step + 1
        parameter = state.optimizer.first_not_finite()
        will_repeat = not (is_repeat or fault.is_of_the_data)
        log.warning(
            "step %d%s skipped: %s%s%s",
            global_step,
            f", repeat of step {batch.step + 1} of the stage," if is_repeat else "",
            fault.text,
            f" in {parameter}" if parameter else "",
            "; it is done again later" if will_repeat else "",
        )
        state.optimizer.clear()
        samples = [f"{document.source}:{document.row}" for each in batch.packs for document in each.documents]
        state.guard.note_skipped(global_step, fault, is_repeat=is_repeat)
        state.guard.refuse_too_many(global_step, fault, parameter, samples)
        if will_repeat:
            state.postpone(batch.cursor)
        return {"skipped": fault.text, "skipped_samples": samples}

    def measure(self, batch: StepData, totals: StepTotals, seconds: float) -> Line:
        """Losses by group, counts, speeds and memory. seconds: length of the step with the wait for its batch."""
        return totals.metrics(self.state.stage.budgets, seconds) | {
            "mfu_with_tower": round(batch.flops / seconds / self.peak_flops, 4),
            "step_s": round(seconds, 4),
            "data_wait_s": round(batch.waited_s, 4),
            "quarantined": self.state.failures,
            "peak_memory_bytes": peak_memory_bytes(self.model.device),
        }

    def report(self, line: Line) -> None:
        """Log a step, then validate and save where that is due. Only the first process does any of it."""
        if not self.replicas.leads:
            return
        global_step, checkpoints = self.state.global_step, self.run_directory.checkpoints
        self.monitor.log(line)
        self.events.on_step(line)
        is_best = False
        if global_step % self.config.validate_every == 0 or global_step == self.num_steps:
            held_out = self.validate()
            if held_out:
                self.monitor.log({"step": global_step, **held_out})
                is_best = checkpoints.note_best(global_step, held_out["validation_loss"])
        is_last = self.is_stopping or global_step == self.end
        if global_step % self.config.save_every == 0 or is_last or is_best:
            self.state.save(checkpoints)
        self.monitor.end_step()

    def validate(self) -> Line:
        """Held-out metrics of the model as it is now."""
        self.model.eval()
        with torch.no_grad():
            held_out = self.events.validate(self.model)
        self.model.train()
        return held_out


def rows_of(packs: Sequence[LoadedPack], packs_per_row: int) -> Iterator[Sequence[LoadedPack]]:
    """Divide the packs of a batch into rows; the last row may hold fewer packs."""
    return (packs[first : first + packs_per_row] for first in range(0, len(packs), packs_per_row))


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM or Ctrl-C has been received.

    In the context they do not interrupt, so that the step ends and is saved; only a second Ctrl-C does.
    """
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
