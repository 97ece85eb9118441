"""`qwen2vl eval`: ask a model an exam, print its scores, write them and a page of items."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import progress
from qwen2vl.common.files import write_atomically
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.items import count_items, read_items
from qwen2vl.evaluation.judging import Judged
from qwen2vl.evaluation.page import choose, page
from qwen2vl.evaluation.partial_answers import PartialAnswers
from qwen2vl.evaluation.report import Report, score
from qwen2vl.evaluation.runner import ExamRun, answer_exam


@dataclass(frozen=True, kw_only=True)
class EvalOptions(CommonOptions):
    """Answer every held-out item of an exam, greedily, and score the answers with 95 % intervals."""

    exam: Annotated[tyro.conf.Positional[Literal["exam", "languages"]], tyro.conf.arg(metavar="EXAM")]
    """exam: seeing, reading, pointing, counting, watching, and tasks whose images other programs rendered. languages: words
    and short lines in twelve languages, scored by language. No training run sees their items."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The shipped model, or a checkpoint directory."""
    tasks: tuple[str, ...] = ()
    """Only these tasks of the exam."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Also write the scores as JSON. Until then the answers are stored beside it: the same command resumes after a kill."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="OUT.html")] = None
    """Also write a page of scores and of items with their images, failures first."""
    report_items: Annotated[int, tyro.conf.arg(metavar="N")] = 12
    """Largest number of items of a task on that page."""
    answers: Annotated[Path | None, tyro.conf.arg(metavar="OUT.jsonl")] = None
    """Also write every answer, one JSON line per item."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(EvalOptions, argv, "qwen2vl eval")
    counts = count_items(EXAMS[options.exam].path)
    check(options, counts)
    from qwen2vl.inference import Chat  # takes a second: after all checks of the options

    tasks = sorted(set(options.tasks or counts))
    total = sum(counts[task] for task in tasks)
    chat = Chat(options.model)
    about = ExamRun.of(options.model, options.exam)
    partial = PartialAnswers(options.out, asdict(about) | {"tasks": tasks}) if options.out else None
    if partial and partial.results:
        print(f"resuming after {len(partial.results)} of {total} answers", file=sys.stderr)
    try:
        with progress("answering") as show:
            results = answer_exam(
                chat, options.exam, tasks, partial=partial, on_progress=lambda done: show(done, total)
            )
    except KeyboardInterrupt:
        if partial:
            print("stopped; the same command resumes", file=sys.stderr)
        raise
    report = Report(scores=score(results), aims=EXAMS[options.exam].aims)
    content = asdict(about) | {"tasks": report.scores, "gaps": report.gaps()}
    if options.out:
        write_atomically(options.out, json.dumps(content, indent=2) + "\n")
    if options.answers:
        write_atomically(options.answers, "".join(answer_line(result) for result in results))
    if options.report:
        chosen = choose(results, options.report_items)
        items = read_items(EXAMS[options.exam].path, ids={result.id for result in chosen})
        write_atomically(options.report, page(about, report, chosen, {item.id: item for item in items}))
    if partial:
        partial.remove()
    print(json.dumps(content) if options.json else f"{report.table()}\n\nExam {about.exam}, sha256 {about.digest}")
    return 0


def check(options: EvalOptions, known: Mapping[str, int]) -> None:
    """Raises UsageError for options that would otherwise fail only after all questions were answered."""
    unknown = [task for task in options.tasks if task not in known]
    if unknown:
        raise UsageError(f'--tasks names "{unknown[0]}": valid are {", ".join(known)}')
    require_at_least("--report-items", options.report_items, 1)
    files = {"--out": options.out, "--report": options.report, "--answers": options.answers}
    taken: dict[Path, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise UsageError(f'the folder of "{path}" does not exist: create it first')
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f'{name} "{path}" cannot be written: name a file in a folder where you may write')
        other = taken.setdefault(path.resolve(), name)
        if other != name:
            raise UsageError(f'{other} and {name} are both "{path}": name two files')


def answer_line(result: Judged) -> str:
    """One line of the file of answers."""
    fields = {name: getattr(result, name) for name in ("id", "task", "score", "text", "truth")}
    return json.dumps(fields | {"score": round(result.score, 4)}) + "\n"
