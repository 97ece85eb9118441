"""The loop: stages one after the other; read a step, train on it, log, validate, save; stop anywhere and go on.

    stage      set_trained, a fresh plan, an optimizer that keeps the moments of what stays trained
    step       rows of this process -> sums of losses and gradients over all processes -> guard -> update
    resume     weights, moments, cursor, guard and random state of the newest whole checkpoint

What is read is decided by the plan alone; the loop only asks for the next steps. It prints nothing itself.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from qwen2vl.common.errors import CheckpointError, Qwen2VLError
from qwen2vl.data.loader import StepData, StepLoader
from qwen2vl.data.plan import Cursor, Plan, stream_of
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import LoadedPack, SampleReader
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import pack
from qwen2vl.training.checkpoints import Tensors, random_state, set_random_state
from qwen2vl.training.guard import StepGuard
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.parts import is_adapter, set_trained
from qwen2vl.training.run_directory import RunDirectory
from qwen2vl.training.speed import peak_flops
from qwen2vl.training.step_totals import Tally, peak_memory_bytes
from qwen2vl.training.tensorboard import Board
from qwen2vl.training.tracing import traced
from qwen2vl.training.train_config import Stage, TrainConfig

log = logging.getLogger(__name__)

FEWEST_FAILURES = 20
"""Failures before their share is judged."""

Line = dict[str, Any]
"""Metrics of one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What the loop tells its caller."""

    on_step: Callable[[Line], None]
    """One line of metrics, every step."""
    validate: Callable[[Qwen2VL], Line]
    """Held-out figures, "validation_loss" among them; {} for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """What a stage reads."""

    plan: Plan
    reader: SampleReader


@dataclass(slots=True)
class Position:
    """Where a run stands."""

    step: int = 0
    """Done, over all stages."""
    stage: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    samples: int = 0
    failures: int = 0


class Trainer:
    """One run in one of the processes that share it."""

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
        self.model, self.stages, self.config = model, stages, config
        self.run_directory, self.events, self.data = run, events, data
        self.replicas, self.num_workers = replicas or Replicas(), num_workers
        self.guard = StepGuard(config.spike, config.max_skipped)
        self.optimizer: MasterOptimizer | None = None
        self.at = Position()
        self.steps = sum(stage.steps for stage in stages)
        self.adapted = any(is_adapter(name) for name, _ in model.named_parameters())
        self.board: Board | None = None
        self.trace_step: Callable[[], None] = lambda: None
        self.peak_flops = peak_flops(model.device, model.dtype) * self.replicas.size

    def train(self, max_steps: int | None = None) -> int:
        """Train to the end of the last stage (or `max_steps`), resuming what the run holds; returns the steps done.

        Saves every `save_every` steps, at the end, and on SIGTERM or Ctrl-C. The first process logs, validates, saves.
        Raises Qwen2VLError when too many steps were skipped or too many samples failed, CheckpointError.
        """
        end = min(self.steps, max_steps or self.steps)
        self.resume()
        with stop_signals() as stopped, self.watched():
            stop = False
            while self.at.step < end and not stop:
                stop = self.run_stage(end, stopped)
        self.run_directory.checkpoints.wait()
        return self.at.step

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the first process traces its steps and writes for TensorBoard, where that is asked for."""
        if not self.replicas.leads:
            yield
            return
        folder, config = self.run_directory.path, self.config
        board = Board(folder / "tensorboard", self.at.step + 1) if config.tensorboard else nullcontext()
        with board as self.board, traced(folder / "profile", config.profile_steps) as self.trace_step:
            yield

    def run_stage(self, end: int, stopped: Callable[[], bool]) -> bool:
        """The rest of the stage that the run stands in; whether any process was asked to stop, which all then do."""
        stage = self.stages[self.at.stage]
        if self.optimizer is None or self.at.cursor.step == 0:
            self.enter(stage)
        data = self.data(stage)
        quarantine = Quarantine(self.run_directory.path / "quarantine" / stage.name, self.replicas.rank)
        loader = StepLoader(
            data.plan,
            data.reader,
            quarantine,
            rank=self.replicas.rank,
            size=self.replicas.size,
            num_workers=self.num_workers,
        )
        count = min(stage.steps - self.at.cursor.step, end - self.at.step)
        merge_unit = self.model.config.vision.merge_unit
        for step in loader.steps(self.at.cursor, count):
            line, stop = self.train_step(stage, step, Tally(stage.sources, merge_unit), stopped())
            self.at.step, self.at.cursor = self.at.step + 1, step.cursor
            if self.at.cursor.step == stage.steps and self.at.stage + 1 < len(self.stages):
                # The next stage goes on in the epochs of this one, with windows of its own.
                self.at.stage, self.at.cursor = self.at.stage + 1, Cursor(drawn=step.cursor.drawn)
            if self.replicas.leads:
                self.report(line, last=stop or self.at.step == end)
            self.trace_step()
            if stop:
                return True
        return False

    def enter(self, stage: Stage) -> None:
        """Freeze and unfreeze for a stage."""
        set_trained(self.model, stage.rates)
        self.optimizer = MasterOptimizer(self.model, self.config, self.optimizer)

    def train_step(self, stage: Stage, data: StepData, tally: Tally, stop: bool = False) -> tuple[Line, bool]:
        """Forward, backward, update; one line of metrics, and whether any process was asked to stop."""
        began = time.perf_counter()
        assert self.optimizer is not None, "enter a stage first"
        for packs in _rows(data.packs, self.config.packs_per_row):
            inputs = pack([loaded.inputs for loaded in packs]).to(self.model.device)
            loss = token_loss(self.model, inputs)
            if loss.count:
                loss.total.backward()
                self.optimizer.collect()
            tally.add_row(inputs, loss, [document for loaded in packs for document in loaded.documents])
        for name, amount in (("packs", len(data.packs)), ("failed", len(data.failures)), ("stop", stop)):
            tally.add(name, amount)
        self.replicas.sum([tally.sums])
        self.optimizer.reduce(self.replicas)
        self.count_failures(tally)
        line = self.update(stage, data, tally)
        seconds = time.perf_counter() - began + data.waited_s
        return line | self.rates_of(stage, data, tally, seconds), bool(tally["stop"])

    def update(self, stage: Stage, data: StepData, tally: Tally) -> Line:
        """Take the step, or skip it with the reason."""
        assert self.optimizer is not None
        count = max(tally["supervised"], 1.0)
        loss, rates = tally["loss"] / count, stage.learning_rates(data.step)
        norms = self.optimizer.norms(count)
        norm = sum(norm**2 for norm in norms.values()) ** 0.5
        mixture = stream_of(stage.plan_config(0).mixture_at(data.step))
        skipped = self.guard.judge(loss, norm, mixture) if tally["supervised"] else "no token of the step is supervised"
        if skipped is None:
            self.optimizer.step(rates, divisor=count)
        else:
            module = self.optimizer.first_not_finite()
            samples = [f"{document.source}:{document.row}" for each in data.packs for document in each.documents]
            log.warning("step %d skipped: %s%s", self.at.step + 1, skipped, f" in {module}" if module else "")
            self.optimizer.clear()
            self.guard.refuse_too_many(self.at.step + 1, skipped, module, samples)
        return {
            "step": self.at.step + 1,
            "steps": self.steps,
            "stage": stage.name,
            "loss": loss,
            "plan_digest": data.digest,
            "token_accuracy": tally["correct"] / count,
            "learning_rate": {part: rate for part, rate in rates.items() if rate},
            "gradient_norm": norm,
            "gradient_norm_by_part": dict(norms),
        } | ({} if skipped is None else {"skipped": skipped, "skipped_samples": samples})

    def rates_of(self, stage: Stage, data: StepData, tally: Tally, seconds: float) -> Line:
        """Speeds, fills and counts of a step."""
        packs, budgets = max(tally["packs"], 1.0), stage.budgets
        return {
            "loss_by_source": tally.losses("source/"),
            "loss_by_kind": tally.losses("kind/"),
            "samples": int(tally["samples"]),
            "supervised_tokens": int(tally["supervised"]),
            "text_tokens": int(tally["tokens"] - tally["visual"]),
            "visual_tokens": int(tally["visual"]),
            "supervised_tokens_per_s": round(tally["supervised"] / seconds, 2),
            "text_tokens_per_s": round((tally["tokens"] - tally["visual"]) / seconds, 2),
            "visual_tokens_per_s": round(tally["visual"] / seconds, 2),
            "fill_tokens": round(tally["tokens"] / packs / budgets.tokens, 4),
            "fill_visual_tokens": round(tally["visual"] / packs / budgets.visual_tokens, 4),
            "mfu_with_tower": round(data.flops / seconds / self.peak_flops, 4),
            "step_s": round(seconds, 4),
            "data_wait_s": round(data.waited_s, 4),
            "quarantined": self.at.failures,
            "peak_memory_bytes": peak_memory_bytes(self.model.device),
        }

    def count_failures(self, tally: Tally) -> None:
        """Raises Qwen2VLError, on all processes alike, when too many samples could not be read."""
        self.at.samples += int(tally["samples"])
        self.at.failures += int(tally["failed"])
        limit = self.config.max_quarantined
        if self.at.failures > max(FEWEST_FAILURES, limit * self.at.samples):
            raise Qwen2VLError(
                f"{self.at.failures} of {self.at.samples} samples could not be read, over the limit of {limit:.0%}: "
                f'the list is in "{self.run_directory.path / "quarantine"}"'
            )

    def log(self, line: Line) -> None:
        self.run_directory.log(line)
        if self.board is not None:
            self.board.log(line)

    def report(self, line: Line, *, last: bool) -> None:
        """Log, validate and save what is due after a step."""
        done, config, run = self.at.step, self.config, self.run_directory
        self.log(line)
        self.events.on_step(line)
        is_best = False
        if done % config.validate_every == 0 or done == self.steps:
            figures = self.validated()
            if figures:
                self.log({"step": done, **figures})
                is_best = run.checkpoints.note_best(done, figures["validation_loss"])
        if done % config.save_every == 0 or last or is_best:
            run.checkpoints.save(done, self.tensors(), self.facts())

    def validated(self) -> Line:
        self.model.eval()
        with torch.no_grad():
            figures = self.events.validate(self.model)
        self.model.train()
        return figures

    def tensors(self) -> Tensors:
        """All that decides how the run goes on; weights as float32 masters where there are some."""
        assert self.optimizer is not None
        weights = {
            name: self.optimizer.masters.get(name, parameter)
            for name, parameter in self.model.named_parameters()
            if is_adapter(name) or not self.adapted
        }
        return {"weights": weights, "moments": self.optimizer.moments, "random": random_state()}

    def facts(self) -> Line:
        return {
            "stage": self.stages[self.at.stage].name,
            "cursor": self.at.cursor.to_dict(),
            "samples": self.at.samples,
            "failures": self.at.failures,
            "guard": self.guard.state(),
        }

    def resume(self) -> None:
        """Take up the newest checkpoint that can be read; cut the metrics back to it.

        Raises CheckpointError when there are some and none can be read: starting anew would overwrite the run.
        """
        store, refusal = self.run_directory.checkpoints, None
        for step in reversed(store.steps()):
            try:
                self.restore(step, store.facts(step) or {})
                break
            except CheckpointError as error:
                refusal = error
                log.warning("%s", error)
        else:
            if refusal is not None:
                raise refusal
        if self.replicas.leads:
            for folder in store.broken():
                log.warning("%s is not whole and is passed over", folder)
            store.forget_best_after(self.at.step)
            self.run_directory.cut_metrics(self.at.step)

    def restore(self, step: int, facts: Mapping[str, Any]) -> None:
        names = [stage.name for stage in self.stages]
        stage, cursor = names.index(facts["stage"]), Cursor.from_dict(facts["cursor"])
        # A checkpoint at a border was written by the stage before: it holds the moments of that one.
        trained_by = stage - 1 if cursor.step == 0 and stage else stage
        self.enter(self.stages[trained_by])
        tensors = self.tensors()
        self.run_directory.checkpoints.restore(step, tensors)
        set_random_state(tensors["random"])
        assert self.optimizer is not None
        self.optimizer.copy_to_model()
        self.at = Position(step, stage, cursor, facts["samples"], facts["failures"])
        self.guard.restore(facts["guard"])


def _rows(packs: Sequence[LoadedPack], size: int) -> Iterator[Sequence[LoadedPack]]:
    return (packs[first : first + size] for first in range(0, len(packs), size))


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and Ctrl-C only raise a flag, so that the step ends and is saved; a second Ctrl-C interrupts."""
    seen: list[int] = []

    def note(number: int, _: Any) -> None:
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
