"""The folder of a run: its settings, its metrics, and where its other files are.

RUN/config.json        all settings; the folder refuses a run with other settings
RUN/model/             config, tokenizer and media settings of the model, so that the folder alone can be exported
RUN/metrics.jsonl      one object per step and per validation; a resumed run removes what follows its checkpoint
RUN/checkpoints/       see `checkpoints`
RUN/quarantine/        see `data.quarantine`
RUN/tensorboard/       see `monitoring`
RUN/profile/           see `monitoring`
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.train_config import CHANGEABLE

Line = dict[str, Any]
"""One line of metrics.jsonl."""

log = logging.getLogger(__name__)


class RunDirectory:
    """The folder of one run."""

    def __init__(self, path: str | Path, config: Mapping[str, Any], keep: int = 2, leads: bool = True) -> None:
        """Create the folder or open an existing one. leads: whether this process writes its files.

        Raises ConfigError when the folder belongs to a run with other settings.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f'the run directory "{path}" is a file: name a folder with --run-dir')
        try:
            self.checkpoints = Checkpoints(self.path / "checkpoints", keep)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.metrics_file = self.path / "metrics.jsonl"
        config_file = self.path / "config.json"
        # Through JSON, so that tuples compare equal to the lists of the file.
        settings = json.loads(json.dumps(config))
        if config_file.exists():
            self._refuse_other_settings(flattened(json.loads(config_file.read_text())), flattened(settings))
        if leads:
            write_atomically(config_file, json.dumps(settings, indent=2) + "\n")

    def _refuse_other_settings(self, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        changed = [
            name
            for name in sorted(stored.keys() | given.keys())
            if stored.get(name) != given.get(name)
            and name.split(".")[-1] not in CHANGEABLE
            and not self._is_later_phase(name, stored, given)
        ]
        if changed:
            raise ConfigError(
                f'the run in "{self.path}" was started with other settings ({", ".join(changed)}): '
                "give the same settings to resume it, or another --run-dir"
            )

    def _is_later_phase(self, name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        """Whether a setting is the list of phases of the current stage, changed only for steps that are not done yet."""
        steps = self.checkpoints.steps()
        if not name.endswith(".phases") or not steps:
            return False
        facts = self.checkpoints.facts(steps[-1])
        if facts["stage"] != stored.get(f"{name.removesuffix('.phases')}.name"):
            return False
        steps_done = range(facts["cursor"]["step"])
        return all(_mixture_at(stored[name], step) == _mixture_at(given[name], step) for step in steps_done)

    def discard_after(self, step: int) -> None:
        """Remove what was recorded after a step, because the resumed run will record it again; warn of damaged checkpoints."""
        for folder in self.checkpoints.damaged():
            log.warning("%s is not whole and is not used", folder)
        self.checkpoints.forget_best_after(step)
        if self.metrics_file.exists():
            kept = [line for line in read_metrics(self.metrics_file) if line["step"] <= step]
            write_atomically(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl. Raises Qwen2VLError when it cannot be written."""
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise unwritable(self.metrics_file, error) from error


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; lists are values."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _mixture_at(phases: list[dict[str, Any]], step: int) -> Any:
    phase = next(phase for phase in phases if phase["until"] is None or step < phase["until"])
    return phase["mixtures"][step % len(phase["mixtures"])]


def read_metrics(path: Path) -> list[Line]:
    """Lines of a metrics file; a line that a kill left incomplete is dropped, with what follows it."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
