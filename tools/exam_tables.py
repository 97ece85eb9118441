"""Tables of exam scores: of the shipped model, and of checkpoints during training."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.report import Report, describe_bounds, describe_metric
from tools.benchmark_tables import NOT_YET, Results

HEADLINES = ("colour_shape", "read_word", "ground", "receipt", "chart_value", "late")
"""Tasks of the exam that the README shows: some that nano can do and some that it cannot."""
T = TypeVar("T")


def scores(name: str) -> Callable[[Results], str]:
    """The function that renders the scores of a result, the missed floors, and how far tasks are under their twins."""

    def render(results: Results) -> str:
        if name not in results:
            return NOT_YET.format(command=f"qwen2vl eval {name} --out benchmarks/results/{name}.json")
        return f"{Report(scores=results[name]['tasks'], aims=EXAMS[results[name]['exam']].aims).table()}\n"

    return render


def headlines(results: Results) -> str:
    """Scores of the shipped model in the tasks that the README shows, and its mean over all tasks of the exam."""
    if "exam" not in results:
        return NOT_YET.format(command="qwen2vl eval exam --out benchmarks/results/exam.json")
    scores, aims = results["exam"]["tasks"], EXAMS["exam"].aims
    rows = [["task", "measure", "score", "95 % interval", "floor (aim)"], ["---"] * 5]
    for task in HEADLINES:
        line = scores[task]
        interval = f"{line['low']:.1%} to {line['high']:.1%}"
        bounds = describe_bounds(aims.floors[task])
        rows.append([task, describe_metric(line["metric"]), f"{line['score']:.1%}", interval, bounds])
    mean = fmean(line["score"] for line in scores.values())
    return _markdown([*rows, [f"mean of {len(scores)}", "", f"{mean:.1%}", "", describe_bounds(aims.mean)]])


def judging_change(results: Results) -> str:
    """Scores of the same weights by the older and by today's judging: a row for every task."""
    result = results.get("judging_change")
    if result is None:
        return NOT_YET.format(command="python -m experiments.judging_change OLD.json benchmarks/results/exam.json")
    rows = [["task", "measure", "older judging", "today's judging", "points"], ["---"] * 5]
    for task, line in result["tasks"].items():
        rows.append([task, describe_metric(line["metric"]), *_old_and_new(line)])
    return _markdown([*rows, [f"mean of {len(result['tasks'])}", "", *_old_and_new(result["mean"])]])


def _old_and_new(line: Mapping[str, float]) -> list[str]:
    change = 100 * (line["new"] - line["old"])
    return [f"{line['old']:.1%}", f"{line['new']:.1%}", f"{change:+.1f}" if round(change, 1) else "0"]


def score_curve(exam: str) -> Callable[[Results], str]:
    """The function that renders the scores of checkpoints: a row for every task, a column for up to six checkpoints."""

    def render(results: Results) -> str:
        result = results.get(f"score_curve_{exam}")
        if result is None:
            return NOT_YET.format(command=f"python -m experiments.score_curve --exam {exam} runs/nano")
        points = spread(result["points"], 6)
        head = ["task", *(f"{point['core_hours']:.1f} core hours" for point in points)]
        rows = [head, ["---"] * len(head)]
        rows.append(["run", *(point["run"] for point in points)])
        rows.append(["conversations", *(f"{point['conversations'] / 1000:.0f} thousand" for point in points)])
        rows += [[task, *(f"{point['scores'][task]:.1%}" for point in points)] for task in points[-1]["scores"]]
        return _markdown([*rows, ["mean", *(f"{fmean(point['scores'].values()):.1%}" for point in points)]])

    return render


def spread(points: Sequence[T], most: int) -> list[T]:
    """At most this number of points, evenly spread, the last among them."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every][::-1])


def _markdown(rows: Sequence[Sequence[Any]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
