"""The tables of README and docs, always written from result files: `python -m tools.tables [--check]`.

A page holds pairs of marks; the text between two marks is replaced:

    <!-- benchmarks: summary -->
    <!-- benchmarks end -->

`BLOCKS` lists the blocks by name: `summary` (every line that has a bound), `summary_short` and `exam_short` (the rows of the
README), each benchmark (tower, first_token, ...), `exam` and `languages` (scores of the shipped model, from `qwen2vl eval exam
--out benchmarks/results/exam.json`), `judging_change` (its scores by the older judging and by today's), `score_curve_EXAM`
(scores of checkpoints), `which_is_meant` (boxes by the number of shapes), and `study_NAME` (from `experiments.studies`).
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qwen2vl.evaluation.exam import EXAMS
from tools import benchmark_tables, exam_tables, study_tables
from tools.benchmark_tables import Results
from tools.results import RESULTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/benchmarks.md", "docs/log.md", "docs/nano.md", "docs/studies.md")
BLOCKS: dict[str, Callable[[Results], str]] = (
    {
        "summary": benchmark_tables.summary,
        "summary_short": benchmark_tables.headlines,
        "exam": exam_tables.scores("exam"),
        "languages": exam_tables.scores("languages"),
        "exam_short": exam_tables.headlines,
        "judging_change": exam_tables.judging_change,
        "which_is_meant": study_tables.which_is_meant,
    }
    | {f"score_curve_{exam}": exam_tables.score_curve(exam) for exam in EXAMS}
    | {name: benchmark_tables.block(name) for name in benchmark_tables.NAMES}
    | {f"study_{name}": study_tables.block(name) for name in study_tables.FINDINGS}
)
"""Name of a block -> the function that renders it."""


class BadPage(Exception):
    """A page with wrong marks, or a result file of a trial."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Rewrite the generated tables from the result files.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is not up to date")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder that contains the pages")
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
    """All result files of a folder by name. Raises BadPage for those of a --small run."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    for name, result in results.items():
        if result.get("small"):
            path = folder / f"{name}.json"
            raise BadPage(f"{path} comes from a --small run, whose figures mean nothing: measure again without it")
    return results


def rewrite(path: Path, results: Results, *, write: bool) -> bool:
    """Bring one page up to date and return whether it was not; a page that does not exist has no tables."""
    if not path.exists():
        return False
    old = path.read_text(encoding="utf-8")
    new = render_page(old, results, path.name)
    if new != old and write:
        path.write_text(new, encoding="utf-8")
    return new != old


def render_page(text: str, results: Results, name: str) -> str:
    """The page with new blocks. Raises BadPage for an unknown block and for a mark without its end."""
    pattern = re.compile(r"(<!-- benchmarks: (\w+) -->\n).*?(<!-- benchmarks end -->)", re.DOTALL)
    opened, closed = text.count("<!-- benchmarks: "), len(pattern.findall(text))
    if opened != closed or text.count("<!-- benchmarks end -->") != closed:
        raise BadPage(f"{name} has {opened} opening marks of tables but {closed} whole blocks: each needs its end mark")

    def fill(found: re.Match[str]) -> str:
        if found[2] not in BLOCKS:
            raise BadPage(f"{name} asks for the block {found[2]}: valid are {', '.join(BLOCKS)}")
        return found[1] + BLOCKS[found[2]](results) + found[3]

    return pattern.sub(fill, text)


if __name__ == "__main__":
    sys.exit(main())
