"""What a run read at any of its steps, worked out again from its folder: the plan is a function, so nothing was stored."""

import json
from dataclasses import dataclass
from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Cursor, digest
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import LoadedPack, PackRequest
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import load_processor
from qwen2vl.training.run import DataSource
from qwen2vl.training.train_config import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One step of a run."""

    stage: str
    digest: str
    """As in the run's metrics."""
    packs: list[LoadedPack]
    """Of all processes; samples that failed then are silent again."""
    store: Store


def replay(run_dir: Path, step: int) -> Replayed:
    """Read a step of a run again, from 1. Raises ConfigError when the folder is no run or the run has no such step."""
    file = run_dir / "config.json"
    if not file.is_file() or not (run_dir / "model").is_dir():
        raise ConfigError(f'"{run_dir}" is not the folder of a run: it has no config.json and model')
    settings = json.loads(file.read_text())
    stages = [Stage.from_dict(raw) for name, raw in settings.items() if name.startswith("stage_")]
    store = Store(settings["store"], settings["store_version"])
    source = DataSource(
        store, load_processor(run_dir / "model"), settings["train"]["seed"], held_out=settings["held_out"]
    )
    cursor, left = Cursor(), step
    for stage in stages:
        plan, reader = source(stage).plan, source(stage).reader
        for _ in range(min(left, stage.steps)):
            at = cursor.step
            packs, cursor = plan.step(cursor)
        left -= min(left, stage.steps)
        if step > 0 and not left:
            quarantine = Quarantine(run_dir / "quarantine" / stage.name)
            rows = [tuple(row for _, row in pack.samples) for pack in packs]
            requests = [
                PackRequest(step=at, rows=each, skipped=frozenset(row for row in each if quarantine.holds(at, row)))
                for each in rows
            ]
            return Replayed(
                stage=stage.name, digest=digest(packs), packs=[reader.pack(each) for each in requests], store=store
            )
        cursor = Cursor(drawn=cursor.drawn)
    raise ConfigError(f"step {step} is not a step of the run: it has {sum(stage.steps for stage in stages)}, from 1")
