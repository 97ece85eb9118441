"""Samples that failed during a run: listed, replaced by silence of equal length, and replayed on resume.

RUN/quarantine/RANK.jsonl    one object a failure, synced to the disk before its step is trained on

An entry holds for one sample at one step: in a later epoch the sample is tried again, in the unbroken run as in a
resumed one, so both see the same rows. A listed item is not tried again when a resumed run comes by its step.
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
    """From 0."""
    source: str
    row: int
    """Of the store."""
    id: str
    reason: str


class Quarantine:
    """The list of one process; it reads those of all, so that any number of processes can resume."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{rank}.jsonl"
        self.listed = {(entry.step, entry.row): entry for entry in read_failures(folder)}

    def holds(self, step: int, row: int) -> Failure | None:
        return self.listed.get((step, row))

    def add(self, failures: Iterable[Failure]) -> None:
        """List failures that are not listed yet."""
        for failure in failures:
            if (failure.step, failure.row) not in self.listed:
                append_line(self.file, json.dumps(asdict(failure), ensure_ascii=False))
                self.listed[failure.step, failure.row] = failure


def read_failures(folder: Path) -> list[Failure]:
    """All entries of a run by step; a line torn by a kill is left out, its item fails again."""
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                found.append(Failure(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return sorted(found, key=lambda failure: (failure.step, failure.row))
