"""`qwen2vl eval`: put a model to an exam and print its scores."""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.evaluation.report import score, table
from qwen2vl.evaluation.runner import Judged, run_exam
from qwen2vl.nano.exam import FLOORS, PACKAGED_EXAM, read_exam
from qwen2vl.nano.world import TASKS


@dataclass(frozen=True, kw_only=True)
class EvalOptions(CommonOptions):
    """Answer every held-out item of an exam, greedily, and score the answers with 95 % intervals."""

    exam: Annotated[tyro.conf.Positional[Literal["nano"]], tyro.conf.arg(metavar="TASK")]
    """Which exam: nano, items of the drawn world that no training run sees."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The shipped model, or a checkpoint directory."""
    tasks: tuple[str, ...] = ()
    """Only these tasks of the exam."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Also write the scores as JSON."""
    answers: Annotated[Path | None, tyro.conf.arg(metavar="OUT.jsonl")] = None
    """Also write every answer, one JSON line an item."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(EvalOptions, argv, "qwen2vl eval")
    unknown = [task for task in options.tasks if task not in TASKS]
    if unknown:
        raise UsageError(f'--tasks names "{unknown[0]}": valid are {", ".join(TASKS)}')
    for path in (options.out, options.answers):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f'the folder of "{path}" does not exist: create it first')
    from qwen2vl.inference import Chat

    items = list(read_exam(PACKAGED_EXAM, options.tasks or TASKS))
    chat = Chat(options.model)
    with shown_progress(len(items)) as tell:
        results = run_exam(chat, items, on_progress=tell)
    scores = score(results)
    report = {"model": options.model, "exam": options.exam, "platform": platform.machine(), "tasks": scores}
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    if options.answers:
        options.answers.write_text("".join(json.dumps(answer_line(result)) + "\n" for result in results))
    print(json.dumps(report) if options.json else table(scores, FLOORS))
    return 0


def answer_line(result: Judged) -> dict[str, Any]:
    return {"id": result.item.id, "right": result.right, "text": result.text, "truth": result.item.truth}


@contextmanager
def shown_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function (items done) that moves a bar, or prints a line for each tenth in a pipe."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("answering", total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if 10 * done // total > told:
            told = 10 * done // total
            print(f"answering: {done} of {total}", file=sys.stderr, flush=True)

    yield tell
