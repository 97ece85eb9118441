"""The folder of a run: what was asked for, what happened, and where it stands.

RUN/config.json        resolved settings; another configuration in the same place is refused
RUN/model/             config, tokenizer and media settings of the model, so that the run can be exported by itself
RUN/metrics.jsonl      one object per step, cut back to the restored step on resume
RUN/checkpoints/       see `checkpoints`
RUN/quarantine/        see `data.quarantine`
RUN/tensorboard/       see `tensorboard`
RUN/profile/           see `tracing`
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.train_config import CHANGEABLE


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: str | Path, config: Mapping[str, Any], keep: int = 2, leads: bool = True) -> None:
        """Create it, or take it up again. leads: whether this process is the one that writes.

        Raises ConfigError when it belongs to another configuration.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f'the run directory "{path}" is a file: name a folder with --run-dir')
        try:
            self.checkpoints = Checkpoints(self.path / "checkpoints", keep)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.metrics_file = self.path / "metrics.jsonl"
        self._claim(json.loads(json.dumps(config)), leads)

    def _claim(self, ours: dict[str, Any], leads: bool) -> None:
        file = self.path / "config.json"
        if file.exists():
            theirs = flattened(json.loads(file.read_text()))
            mine = flattened(ours)
            changed = sorted(
                name
                for name in theirs.keys() | mine.keys()
                if theirs.get(name) != mine.get(name) and name.split(".")[-1] not in CHANGEABLE
            )
            changed = [name for name in changed if not self._is_later_phase(name, theirs, mine)]
            if changed:
                raise ConfigError(
                    f'the run in "{self.path}" was started with other settings ({", ".join(changed)}): '
                    "give the same settings to resume it, or another --run-dir"
                )
        if leads:
            write_atomically(file, json.dumps(ours, indent=2) + "\n")

    def _is_later_phase(self, name: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
        """Whether a setting is a mixture of steps that the run has not reached: those may be changed on the way."""
        if not name.endswith(".phases"):
            return False
        steps = self.checkpoints.steps()
        facts = (self.checkpoints.facts(steps[-1]) or {}) if steps else {}
        stage = name.removesuffix(".phases")
        if facts.get("stage") != theirs.get(f"{stage}.name"):
            return False
        done = facts["cursor"]["step"]
        return all(_mixture_at(theirs[name], at) == _mixture_at(mine[name], at) for at in range(done))

    def cut_metrics(self, step: int) -> None:
        """Drop what was logged after a step: the resumed run will log it again."""
        if self.metrics_file.exists():
            kept = [line for line in read_metrics(self.metrics_file) if line["step"] <= step]
            write_atomically(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, line: Mapping[str, Any]) -> None:
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise unwritable(self.metrics_file, error) from error


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; lists stay values."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _mixture_at(phases: list[dict[str, Any]], step: int) -> Any:
    phase = next(phase for phase in phases if phase["until"] is None or step < phase["until"])
    return phase["mixtures"][step % len(phase["mixtures"])]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a line torn by a kill, and what follows it, is dropped."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
