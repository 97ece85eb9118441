"""`qwen2vl eval`: put a model to an exam, print its scores, write them and a page of items."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import progress
from qwen2vl.common.files import sha256_of, write_atomically
from qwen2vl.evaluation.exam import EXAMS, Exam, count_items, read_exam
from qwen2vl.evaluation.judging import Judged
from qwen2vl.evaluation.page import Heading, choose, page
from qwen2vl.evaluation.partial_answers import KeptAnswers
from qwen2vl.evaluation.report import gaps, score, table
from qwen2vl.evaluation.runner import Answers, run_exam
from qwen2vl.spec import resolve_source

SHOWN_PER_TASK = 12


@dataclass(frozen=True, kw_only=True)
class EvalOptions(CommonOptions):
    """Answer every held-out item of an exam, greedily, and score the answers with 95 % intervals."""

    exam: Annotated[tyro.conf.Positional[Literal["exam", "nano"]], tyro.conf.arg(metavar="EXAM")]
    """exam: seeing, reading, pointing, counting, watching, with tasks whose images other programs drew. nano: the
    earlier, smaller one. No training run sees the items of either."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The shipped model, or a checkpoint directory."""
    tasks: tuple[str, ...] = ()
    """Only these tasks of the exam."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Also write the scores as JSON. Answers are kept beside it while the exam goes on: the same command goes on after a
    kill."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="OUT.html")] = None
    """Also write a page of scores and of items, failures first, with their images."""
    report_items: Annotated[int, tyro.conf.arg(metavar="N")] = SHOWN_PER_TASK
    """Items of every task on that page, at most."""
    answers: Annotated[Path | None, tyro.conf.arg(metavar="OUT.jsonl")] = None
    """Also write every answer, one JSON line an item."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(EvalOptions, argv, "qwen2vl eval")
    exam = EXAMS[options.exam]
    counts = count_items(exam.path)
    check(options, counts)
    from qwen2vl.inference import Chat

    tasks = options.tasks or tuple(counts)
    chat = Chat(options.model)
    total = sum(counts[task] for task in set(tasks))
    about = about_of(options, exam)
    kept = KeptAnswers(options.out, about | {"tasks": sorted(set(tasks))}) if options.out else None
    if kept and kept.results:
        print(f"going on after {len(kept.results)} of {total} answers", file=sys.stderr)
    results = answers(chat, exam, tasks, kept, total)
    scores = score(results)
    told = about | {"tasks": scores, "gaps": gaps(scores, exam.aims)}
    if options.out:
        write_atomically(options.out, json.dumps(told, indent=2) + "\n")
    if options.answers:
        write_atomically(options.answers, "".join(json.dumps(answer_line(result)) + "\n" for result in results))
    if options.report:
        write_atomically(options.report, page_of(results, scores, told, exam, options.report_items))
    if kept:
        kept.remove()
    print(json.dumps(told) if options.json else in_words(told, exam))
    return 0


def answers(chat: Answers, exam: Exam, tasks: Collection[str], kept: KeptAnswers | None, total: int) -> list[Judged]:
    """Of all items of these tasks, in their order; what was kept is not asked again."""
    results = list(kept.results) if kept else []
    items = read_exam(exam.path, tasks, without={result.id for result in results})
    with progress("answering") as show:

        def after(batch: Sequence[Judged]) -> None:
            if kept:
                kept.add(batch)
            results.extend(batch)
            show(len(results), total)

        try:
            run_exam(chat, items, max_new_tokens=exam.max_new_tokens, on_batch=after)
            return results
        except KeyboardInterrupt:
            if kept:
                print("stopped; the same command goes on", file=sys.stderr)
            raise


def check(options: EvalOptions, known: dict[str, int]) -> None:
    """Raises UsageError for what would fail only after all questions were answered."""
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


def about_of(options: EvalOptions, exam: Exam) -> dict[str, Any]:
    """Which weights answer what, and where."""
    return {
        "model": options.model,
        "weights": weights_digest(options.model),
        "exam": options.exam,
        "digest": sha256_of(exam.path),
        "platform": platform.machine(),
    }


def weights_digest(model: str) -> str:
    """SHA-256 of the SHA-256 of every file of weights, in the order of their names."""
    files = sorted(resolve_source(model).glob("*.safetensors"))
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def page_of(
    results: Sequence[Judged], scores: dict[str, dict[str, Any]], told: dict[str, Any], exam: Exam, per_task: int
) -> str:
    chosen = choose(results, per_task)
    ids = {result.id for result in chosen}
    items = {item.id: item for item in read_exam(exam.path, ids=ids)}
    heading = Heading(exam=told["exam"], digest=told["digest"], model=told["model"])
    return page(heading, scores, exam.aims, chosen, items)


def in_words(told: dict[str, Any], exam: Exam) -> str:
    return f"{table(told['tasks'], exam.aims)}\n\nExam {told['exam']}, sha256 {told['digest']}"


def answer_line(result: Judged) -> dict[str, Any]:
    return {
        "id": result.id,
        "task": result.task,
        "score": round(result.score, 4),
        "text": result.text,
        "truth": result.truth,
    }
