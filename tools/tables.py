"""The tables of README and docs, written from result files and never by hand.

A page holds pairs of marks; what stands between them is replaced:

    <!-- benchmarks: summary -->
    <!-- benchmarks end -->

Blocks: `summary` (every line that has a floor or a ceiling), each result by name (tower, first_token, ...), `nano` and
`exam`, scores of the shipped model as `qwen2vl eval exam --out benchmarks/results/exam.json` leaves them, `exam_runs`, those
after each run that led to it, `nano_run`, those of the recipe `nano` beside those of the loop that was before it,
`score_curve_EXAM`, `runs`, the work of those runs, `which_is_meant`, boxes by the number of shapes, and `study_NAME`, which
`experiments.studies` leaves.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import score_curve, study_tables, which_is_meant
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.report import Report, describe_metric
from tools.results import RESULTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/benchmarks.md", "docs/nano.md", "docs/studies.md")
NAMES = (
    "tower",
    "first_token",
    "preprocess",
    "prompt_memory",
    "long_video",
    "planning",
    "drawing",
    "loader",
    "training",
    "training_parts",
    "gpu",
)
RUNS = {
    "exam_nano": "recipe `nano`",
    "exam_wide": "then `wide`",
    "exam_whole": "then `whole`",
    "exam": "then `sharp`: shipped",
}
"""Scores of the runs that the shipped weights come from, in order; the last are the shipped model's."""
CURVES = tuple(f"score_curve_{exam}" for exam in EXAMS)
BLOCK = re.compile(r"(<!-- benchmarks: (\w+) -->\n).*?(<!-- benchmarks end -->)", re.DOTALL)
PEER = "transformers"
NOT_YET = "Not measured yet: `{command}` does it.\n"

Results = dict[str, dict[str, Any]]


class BadPage(Exception):
    """A page or a result file is not what it should be."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Rewrite the generated tables from the result files.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is not up to date")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder that the pages are in")
    options = parser.parse_args(argv)
    try:
        results = load(options.results)
        stale = [page for page in PAGES if rewrite(options.root / page, results, write=not options.check)]
    except BadPage as error:
        print(error, file=sys.stderr)
        return 1
    if options.check and stale:
        print(f"out of date: {', '.join(stale)}; run `make tables`", file=sys.stderr)
        return 1
    print("tables are up to date" if not stale else f"tables written in {', '.join(stale)}")
    return 0


def load(folder: Path) -> Results:
    """Result files by name. Raises BadPage for those of a --small run."""
    found = {}
    for name in (*NAMES, "nano", *RUNS, "nano_loop", "nano_run", "which_is_meant", *CURVES, *study_tables.BLOCKS):
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
            if found[name].get("small"):
                raise BadPage(f"{path} comes from a --small run, whose figures mean nothing: measure again without it")
    return found


def rewrite(path: Path, results: Results, *, write: bool) -> bool:
    """Bring one page up to date; whether it was not. A page that does not exist has no tables."""
    if not path.exists():
        return False
    old = path.read_text(encoding="utf-8")
    new = render_page(old, results, str(path.name))
    if new != old and write:
        path.write_text(new, encoding="utf-8")
    return new != old


def render_page(text: str, results: Results, name: str) -> str:
    """The page with fresh blocks. Raises BadPage for an unknown block, or a mark without its end."""
    opened, closed = text.count("<!-- benchmarks: "), len(BLOCK.findall(text))
    if opened != closed or text.count("<!-- benchmarks end -->") != closed:
        raise BadPage(f"{name} has {opened} opening marks of tables but {closed} whole blocks: each needs its end mark")

    def fill(found: re.Match[str]) -> str:
        if found[2] not in BLOCKS:
            raise BadPage(f"{name} asks for the block {found[2]}: known are {', '.join(BLOCKS)}")
        return found[1] + BLOCKS[found[2]](results) + found[3]

    return BLOCK.sub(fill, text)


def summary(results: Results) -> str:
    """Every judged line of all results, in one table; what is not transformers' stays in the docs."""
    lines = [
        line if peer_of(results[name]) == PEER else line | {"theirs": None, "ratio": None}
        for name in NAMES
        if name in results
        for line in results[name]["comparisons"]
        if line["holds"] is not None
    ]
    if not lines:
        return NOT_YET.format(command="make bench")
    machines = {describe_machine(results[name]): name for name in NAMES if name in results and name != "gpu"}
    return table(lines) + "\n" + "".join(f"Measured on {machine}.\n" for machine in machines)


def one(name: str) -> Callable[[Results], str]:
    """Table and particulars of one result."""
    command = "python -m benchmarks.gpu.run" if name == "gpu" else f"python -m benchmarks.run --only {name}"

    def render(results: Results) -> str:
        if name not in results:
            return NOT_YET.format(command=command)
        result = results[name]
        parts = [table(result["comparisons"], peer_of(result))]
        notes = dict.fromkeys(f"{line['what']}: {line['note']}." for line in result["comparisons"] if line.get("note"))
        parts.append("".join(f"* {note}\n" for note in (*notes, *agreements(result))))
        parts.append(f"Measured on {describe_machine(result)}, {result['date'][:10]}. {describe(result['settings'])}\n")
        if result["limits"]:
            parts.append(f"Limits of this machine in that run: {describe(result['limits'])}\n")
        return "\n".join(part for part in parts if part)

    return render


def scores(name: str) -> Callable[[Results], str]:
    """What the shipped model scored in an exam, where it is under a floor, and how far under its twins."""

    def render(results: Results) -> str:
        if name not in results:
            return NOT_YET.format(command=f"qwen2vl eval {name} --out benchmarks/results/{name}.json")
        return f"{Report(scores=results[name]['tasks'], aims=EXAMS[results[name]['exam']].aims).table()}\n"

    return render


def run_beside_loop(results: Results) -> str:
    """Scores of the recipe beside those of the loop before it, and whether they lie in their intervals."""
    if not {"nano_loop", "nano_run"} <= results.keys():
        return NOT_YET.format(
            command="qwen2vl eval nano --model runs/nano-weights --out benchmarks/results/nano_run.json"
        )
    loop, run = results["nano_loop"]["tasks"], results["nano_run"]["tasks"]
    rows = ["| task | earlier loop (95 % interval) | recipe `nano` | within |", "|---|---|---|---|"]
    verdicts = {task: verdict(run[task]["score"], line) for task, line in loop.items() if task in run}
    for task, found in verdicts.items():
        known = loop[task]
        interval = f"{known['score']:.1%} ({known['low']:.1%} to {known['high']:.1%})"
        rows.append(f"| {task} | {interval} | {run[task]['score']:.1%} | {found} |")
    missed = [task for task, found in verdicts.items() if found == "under"]
    return "\n".join(rows) + f"\n\nUnder the interval: {', '.join(missed) or 'none'}.\n"


def runs_in_a_row(results: Results) -> str:
    """Scores in the wider exam after each of the runs that the shipped weights come from."""
    if missing := [name for name in RUNS if name not in results]:
        return NOT_YET.format(command=f"qwen2vl eval exam --model WEIGHTS --out benchmarks/results/{missing[0]}.json")
    aims = EXAMS["exam"].aims
    runs = [Report(scores=results[name]["tasks"], aims=aims).lines() for name in RUNS]
    rows = [["task", "measure", *RUNS.values(), "floor (aim)"], ["---"] * (len(RUNS) + 3)]
    for task, line in runs[-1].items():
        wanted = "{:.0%} ({:.0%})".format(*aims.floors[task]) if task in aims.floors else ""
        rows.append([task, describe_metric(line["metric"]), *(f"{run[task]['score']:.1%}" for run in runs), wanted])
    means = [f"{fmean(line['score'] for task, line in run.items() if '/' not in task):.1%}" for run in runs]
    rows.append(["mean", "", *means, ""])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def verdict(score: float, known: dict[str, float]) -> str:
    """Where a score lies to an interval."""
    return "under" if score < known["low"] else "above" if score > known["high"] else "yes"


BLOCKS: dict[str, Callable[[Results], str]] = (
    {
        "summary": summary,
        "nano": scores("nano"),
        "exam": scores("exam"),
        "exam_runs": runs_in_a_row,
        "runs": score_curve.work,
        "nano_run": run_beside_loop,
        "which_is_meant": which_is_meant.block,
    }
    | {f"score_curve_{exam}": score_curve.block(exam) for exam in EXAMS}
    | {name: one(name) for name in NAMES}
    | study_tables.BLOCKS
)


def peer_of(result: dict[str, Any]) -> str:
    return result.get("peer", PEER)


def table(lines: Sequence[dict[str, Any]], peer: str = PEER) -> str:
    """Without the columns that no line fills."""
    head = ["What", "Ours", peer, "Ratio", "Must hold (aim)", "Of the limit"]
    columns = zip(head, *map(cells, lines), strict=True)
    rows = list(zip(*(column for column in columns if any(column[1:])), strict=True))
    rows.insert(1, ("---",) * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cells(line: dict[str, Any]) -> tuple[str, ...]:
    theirs = span(line["theirs"], line["unit"]) if line["theirs"] else ""
    ratio = f"{line['ratio']:.2f}x" if line["ratio"] else ""
    return line["what"], span(line["ours"], line["unit"]), theirs, ratio, must(line), share(line)


def span(figures: dict[str, Any], unit: str) -> str:
    """Median, and how far the single runs lie apart."""
    low, middle, high = (number(figures[key]) for key in ("min", "median", "max"))
    return f"{middle} {unit}".rstrip() + (f" ({low} to {high})" if len(figures["raw"]) > 1 else "")


def must(line: dict[str, Any]) -> str:
    if line["holds"] is None:
        return ""
    kept = "holds" if line["holds"] else "MISSED"
    if line["floor"] is not None:
        return f"{line['floor']:g}x ({line['aim']:g}x): {kept}"
    if line.get("least") is not None:
        return f"at least {number(line['least'])} {line['unit']}".rstrip() + f": {kept}"
    return f"under {number(line['ceiling'])} {line['unit']}".rstrip() + f": {kept}"


def share(line: dict[str, Any]) -> str:
    if not line.get("limit") or line["our_share"] is None:
        return ""
    theirs = f", theirs {line['their_share']:.0%}" if line["their_share"] is not None else ""
    return f"{line['limit']} {line['our_share']:.0%}{theirs}"


def number(value: float) -> str:
    """Three figures are all that such measurements hold."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def agreements(result: dict[str, Any]) -> list[str]:
    """What was compared before timing, in words."""
    words = []
    for check in result["agreement"]["checks"]:
        figures = {k: v for k, v in check.items() if k not in ("what", "tolerance") and isinstance(v, int | float)}
        within = f" (allowed {check['tolerance']:.1g})" if "tolerance" in check else ""
        words.append(f"Agreement, {check['what']}: {describe(figures) or 'yes'}{within}")
    return words


def describe_machine(result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    return (
        f"{gpu}{machine['cpu']}, {machine['threads']} of {machine['cores']} cores, {machine['memory_gb']:.0f} GB, "
        f"torch {versions['torch']}, transformers {versions.get('transformers', 'absent')}, Pillow {versions['pillow']}"
    )


def describe(values: dict[str, Any]) -> str:
    """Plain values as words; nested ones stay in the file."""
    plain = {key: value for key, value in values.items() if isinstance(value, int | float | str)}
    return ", ".join(
        f"{key.replace('_', ' ')} {value if isinstance(value, str | bool | int) else f'{value:.3g}'}"
        for key, value in plain.items()
    )


if __name__ == "__main__":
    sys.exit(main())
