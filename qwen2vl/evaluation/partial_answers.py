"""Answers kept while an exam is sat, so that the same command goes on after a kill.

    OUT.partial    first line: whose answers to what; then one batch of judged answers a line

Whole batches, because what shares a batch may round alike: going on asks the same batches as sitting in one go.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qwen2vl.common.files import append_line, write_atomically
from qwen2vl.evaluation.judging import Judged


class KeptAnswers:
    """A file of answers beside the scores that they will become."""

    def __init__(self, scores: Path, about: dict[str, Any]) -> None:
        """What the file holds of the same sitting; of another one it is begun anew. Raises Qwen2VLError."""
        self.path = scores.with_name(f"{scores.name}.partial")
        first = json.dumps({"about": about}, sort_keys=True)
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one
        if whole[:1] != [first + "\n"]:
            whole = [first + "\n"]
        write_atomically(self.path, "".join(whole))
        self.results = [judged(result) for line in whole[1:] for result in json.loads(line)]
        """Found there, from earlier."""

    def add(self, batch: Sequence[Judged]) -> None:
        """Keep one batch. Raises Qwen2VLError when the disk does not take it."""
        append_line(self.path, json.dumps([asdict(result) for result in batch]))

    def remove(self) -> None:
        """Once the scores are written."""
        self.path.unlink(missing_ok=True)


def judged(fields: dict[str, Any]) -> Judged:
    return Judged(**fields | {"places": tuple((index, tuple(place)) for index, place in fields["places"])})
