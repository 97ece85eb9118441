"""A file of the answers given so far, so that the same command resumes after a kill.

    OUT.partial    first line: which model answers what; then one batch of judged answers per line

Whole batches are stored because conversations of one batch may round together: a resumed exam then has the same batches
as an uninterrupted one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qwen2vl.common.files import append_line, write_atomically
from qwen2vl.evaluation.judging import Judged


class PartialAnswers:
    """Judged answers in a file beside the scores file that is still to be written."""

    def __init__(self, scores: Path, about: dict[str, Any]) -> None:
        """Read the answers of the same exam by the same model; a file about anything else is replaced. Raises Qwen2VLError."""
        self.path = scores.with_name(f"{scores.name}.partial")
        first = json.dumps({"about": about}, sort_keys=True)
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one
        if complete[:1] != [first + "\n"]:
            complete = [first + "\n"]
        write_atomically(self.path, "".join(complete))
        self.results = [Judged.from_json(fields) for line in complete[1:] for fields in json.loads(line)]
        """The answers that were found."""

    def add(self, batch: Sequence[Judged]) -> None:
        """Append one batch. Raises Qwen2VLError if the disk does not accept it."""
        append_line(self.path, json.dumps([asdict(result) for result in batch]))

    def remove(self) -> None:
        """Delete the file, after the scores are written."""
        self.path.unlink(missing_ok=True)
