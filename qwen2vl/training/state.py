"""What a run keeps on disk, and how it comes back after a kill.

RUN/config.json            resolved settings; another configuration in the same place is refused
RUN/metrics.jsonl          one object per step, cut back to the restored step on resume
RUN/checkpoints/step-N/    state.pt; appears by one rename, so a half-written one is never picked up
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from qwen2vl.common.errors import ConfigError


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: str | Path, config: dict[str, Any]) -> None:
        """Create it, or take it up again. Raises ConfigError when it belongs to another configuration."""
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f'the run directory "{path}" is a file: name a folder with --run-dir')
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._claim(config)
        self.metrics_file = self.path / "metrics.jsonl"

    def _claim(self, config: dict[str, Any]) -> None:
        file, ours = self.path / "config.json", json.loads(json.dumps(config))
        if not file.exists():
            write_atomically(file, json.dumps(ours, indent=2) + "\n")
            return
        theirs = json.loads(file.read_text())
        changed = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
        if changed:
            raise ConfigError(
                f'the run in "{self.path}" was started with other settings ({", ".join(changed)}): '
                "give the same settings to resume it, or another --run-dir"
            )

    def save(self, step: int, state: dict[str, Any], keep: int) -> None:
        """Write the state after `step` steps; older ones beyond `keep` go."""
        final, temporary = self.checkpoints / f"step-{step}", self.checkpoints / f".step-{step}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        torch.save(state, temporary / "state.pt")
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        for old in self.saved_steps()[:-keep]:
            shutil.rmtree(self.checkpoints / f"step-{old}")

    def saved_steps(self) -> list[int]:
        """Steps that can be resumed from, rising."""
        return sorted(
            int(p.name.removeprefix("step-")) for p in self.checkpoints.glob("step-*") if (p / "state.pt").exists()
        )

    def load_latest(self, truncate: bool = False) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the newest checkpoint, or None for a fresh run; truncate: cut away the metrics after it."""
        steps = self.saved_steps()
        if truncate:
            self._cut_metrics(steps[-1] if steps else 0)
        if not steps:
            return None
        state = torch.load(self.checkpoints / f"step-{steps[-1]}" / "state.pt", weights_only=True)
        return steps[-1], state

    def _cut_metrics(self, step: int) -> None:
        if self.metrics_file.exists():
            kept = [line for line in read_metrics(self.metrics_file) if line["step"] <= step]
            write_atomically(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, line: dict[str, Any]) -> None:
        with self.metrics_file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a line torn by a kill, and what follows it, is dropped."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
