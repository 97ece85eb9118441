"""Read the data of any step of a run again: they follow from the settings in its folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Cursor, digest
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import LoadedPack, PackRequest
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import load_processor
from qwen2vl.training.run_data import select_for
from qwen2vl.training.train_config import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedStep:
    """The packs that all processes of a run read in one step."""

    stage: str
    digest: str
    """The same as `plan_digest` in the metrics of the run."""
    packs: list[LoadedPack]
    """Samples that could not be read then are left without pixels and labels again."""
    store: Store


def replay(run_dir: Path, step: int) -> ReplayedStep:
    """Read a step of a run again, counted from 1. Raises ConfigError for a folder without a run and a step it does not have."""
    file = run_dir / "config.json"
    if not file.is_file() or not (run_dir / "model").is_dir():
        raise ConfigError(f'"{run_dir}" is not the folder of a run: it has no config.json and model')
    settings = json.loads(file.read_text())
    stages = [Stage.from_dict(raw) for name, raw in settings.items() if name.startswith("stage_")]
    store, processor = Store(settings["store"], settings["store_version"]), load_processor(run_dir / "model")
    cursor, left = Cursor(), step
    for stage in stages:
        selection = select_for(stage, store, processor, seed=settings["train"]["seed"], held_out=settings["held_out"])
        for _ in range(min(left, stage.steps)):
            stage_step = cursor.step
            packs, cursor = selection.plan.step(cursor)
        left -= min(left, stage.steps)
        if step > 0 and not left:
            quarantine = Quarantine(run_dir / "quarantine" / stage.name)
            pack_rows = [tuple(row for _, row in pack.samples) for pack in packs]
            failed = [frozenset(row for row in rows if quarantine.holds(stage_step, row)) for rows in pack_rows]
            loaded = [
                selection.reader.pack(PackRequest(step=stage_step, rows=rows, skipped=skipped))
                for rows, skipped in zip(pack_rows, failed, strict=True)
            ]
            return ReplayedStep(stage=stage.name, digest=digest(packs), packs=loaded, store=store)
        cursor = Cursor(drawn=cursor.drawn)
    raise ConfigError(f"step {step} is not a step of the run: it has {sum(stage.steps for stage in stages)}, from 1")
