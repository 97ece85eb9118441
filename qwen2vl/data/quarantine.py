"""The list of samples that could not be read during a run.

    RUN/quarantine/RANK.jsonl    one JSON object per failure, synced to the disk before the run trains on the step

An entry is valid for one sample at one step. When a resumed run repeats the step, the sample is blank again and is not
read, so it trains on the same rows as a run without interruption. In a later epoch the sample is read again.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from qwen2vl.common.files import append_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One sample that could not be read."""

    step: int
    """Number of the step, from 0."""
    source: str
    row: int
    """Row of the store."""
    id: str
    reason: str


class Quarantine:
    """The list of one process. It reads the lists of all processes, so that any number of processes can resume a run."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{rank}.jsonl"
        self.listed = {(entry.step, entry.row): entry for entry in read_failures(folder)}

    def holds(self, step: int, row: int) -> Failure | None:
        """The failure of a row of the store at a step, if it is listed."""
        return self.listed.get((step, row))

    def add(self, failures: Iterable[Failure]) -> None:
        """Add failures that are not listed yet."""
        for failure in failures:
            if (failure.step, failure.row) not in self.listed:
                append_line(self.file, json.dumps(asdict(failure), ensure_ascii=False))
                self.listed[failure.step, failure.row] = failure


def read_failures(folder: Path) -> list[Failure]:
    """All failures of a run in the order of steps and rows.

    A line that is incomplete, because the process was killed while writing it, is left out: its sample fails again.
    """
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                found.append(Failure(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return sorted(found, key=lambda failure: (failure.step, failure.row))
