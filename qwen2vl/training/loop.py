"""The loop: draw a row, step, log, validate, save; stop anywhere and the same command goes on.

Data is a function of the step number and nothing else, so resuming needs no state of readers: a resumed run sees the
rows that the unbroken run would have seen. Only the loop decides when; what a row is, is the recipe's business.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.training.config import TrainConfig
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.state import RunDirectory

Rows = Callable[[int], ModelInputs]
"""Step number to the packed row of that step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What the loop tells its caller; it prints nothing itself."""

    on_step: Callable[[dict[str, Any]], None]
    """One line of metrics, every step."""
    validate: Callable[[Qwen2VL, int], dict[str, Any]]
    """Held-out figures, logged with the step."""


def train(
    model: Qwen2VL,
    rows: Rows,
    config: TrainConfig,
    run: RunDirectory,
    events: Events,
    *,
    replicas: Replicas,
    num_workers: int = 1,
    max_steps: int | None = None,
) -> int:
    """Train to the end of the schedule (or `max_steps`), resuming what `run` holds; returns the steps done.

    Saves every `save_every` steps, at the end, and on SIGTERM or Ctrl-C. With several processes each gets its own rows;
    the first of them logs, validates and saves.
    """
    optimizer = MasterOptimizer(model, config)
    restored = run.load_latest(truncate=replicas.leads)
    start = restored[0] if restored else 0
    if restored:
        optimizer.load_state_dict(restored[1])
    end = min(config.steps, config.steps if max_steps is None else max_steps)
    with stop_signals() as stopped:
        for step, row, waited_s in fetch(rows, start, end, num_workers):
            line, stop = train_step(model, row, optimizer, config, step, replicas, stopped())
            done = step + 1
            if replicas.leads:
                run.log(line | {"data_wait_s": round(waited_s, 4)})
                events.on_step(line)
                if done % config.validate_every == 0 or done == config.steps:
                    run.log({"step": done, **events.validate(model, done)})
                if done % config.save_every == 0 or done == end or stop:
                    run.save(done, optimizer.state_dict(), config.keep_checkpoints)
            if stop:
                return done
    return max(start, end)


def train_step(
    model: Qwen2VL,
    row: ModelInputs,
    optimizer: MasterOptimizer,
    config: TrainConfig,
    step: int,
    replicas: Replicas,
    stop: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Forward, backward, update; one line of metrics, and whether any process was asked to stop."""
    began = time.perf_counter()
    loss = token_loss(model, row.to(model.device))
    loss.total.backward()
    counted = (float(loss.total.detach()), loss.count, int(loss.correct.sum()), row.num_documents, row.num_tokens, stop)
    totals = torch.tensor(counted, dtype=torch.float32)
    replicas.sum([totals, *optimizer.gradients()])
    total, count, correct, documents, tokens, asked_to_stop = totals.tolist()
    rate = config.rate(step)
    norm = optimizer.step(rate, divisor=count)
    line = {
        "step": step + 1,
        "loss": total / count,
        "token_accuracy": correct / count,
        "learning_rate": rate,
        "gradient_norm": norm,
        "samples": int(documents),
        "supervised_tokens": int(count),
        "text_and_visual_tokens": int(tokens),
        "step_s": round(time.perf_counter() - began, 4),
    }
    return line, bool(asked_to_stop)


class _RowsByStep(Dataset[ModelInputs]):
    def __init__(self, rows: Rows, start: int, end: int) -> None:
        self.rows, self.start, self.end = rows, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, index: int) -> ModelInputs:
        if index >= len(self):
            raise IndexError(index)
        return self.rows(self.start + index)


def fetch(rows: Rows, start: int, end: int, num_workers: int) -> Iterator[tuple[int, ModelInputs, float]]:
    """(step, row, seconds waited for it); rows are made by worker processes, in order whatever their number."""
    if start >= end:
        return
    loader = DataLoader(
        _RowsByStep(rows, start, end),
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=4 if num_workers else None,
        worker_init_fn=ignore_signals,
    )
    asked = time.perf_counter()
    for step, row in enumerate(loader, start):
        yield step, row, time.perf_counter() - asked
        asked = time.perf_counter()


def ignore_signals(worker: int) -> None:
    """A terminal and torchrun signal the whole process group; a worker that dies of it would take the last save along."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
