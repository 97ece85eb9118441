"""Tables of exam scores: of the shipped model, of the runs that led to it, and of checkpoints during training."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeVar

from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.report import Report, describe_metric
from tools.benchmark_tables import NOT_YET, Results

RUNS = {
    "exam_nano": "recipe `nano`",
    "exam_wide": "then `wide`",
    "exam_whole": "then `whole`",
    "exam": "then `sharp`: shipped",
}
"""Scores of the runs that the shipped weights come from, in order; the last are those of the shipped model."""
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
        line, (floor, aim) = scores[task], aims.floors[task]
        interval = f"{line['low']:.1%} to {line['high']:.1%}"
        bounds = f"{floor:.0%} ({aim:.0%})"
        rows.append([task, describe_metric(line["metric"]), f"{line['score']:.1%}", interval, bounds])
    mean = fmean(line["score"] for line in scores.values())
    return _markdown([*rows, [f"mean of {len(scores)}", "", f"{mean:.1%}", "", ""]])


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
    return _markdown([*rows, ["mean", "", *means, ""]])


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


def recipe_beside_loop(results: Results) -> str:
    """Scores of the recipe `nano` beside those of the earlier training loop, and whether they lie in its intervals."""
    if not {"nano_loop", "nano_run"} <= results.keys():
        return NOT_YET.format(
            command="qwen2vl eval nano --model runs/nano-weights --out benchmarks/results/nano_run.json"
        )
    loop, run = results["nano_loop"]["tasks"], results["nano_run"]["tasks"]
    rows = ["| task | earlier loop (95 % interval) | recipe `nano` | within |", "|---|---|---|---|"]
    under = []
    for task, old in loop.items():
        if task in run:
            score = run[task]["score"]
            within = "under" if score < old["low"] else "above" if score > old["high"] else "yes"
            under += [task] if within == "under" else []
            interval = f"{old['score']:.1%} ({old['low']:.1%} to {old['high']:.1%})"
            rows.append(f"| {task} | {interval} | {score:.1%} | {within} |")
    return "\n".join(rows) + f"\n\nUnder the interval: {', '.join(under) or 'none'}.\n"


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


def work_of_runs(results: Results) -> str:
    """The cost of each run that the shipped weights come from, and of all of them together."""
    result = results.get("score_curve_exam")
    if result is None:
        return NOT_YET.format(command="python -m experiments.score_curve --exam exam runs/nano")
    ends = {point["run"]: point for point in result["points"]}
    rows = [["run", "steps", "conversations", "core hours"], ["---"] * 4]
    read, hours = 0, 0.0
    for run, end in ends.items():
        own = f"{end['conversations'] - read:,}", f"{end['core_hours'] - hours:.1f}"
        rows.append([f"`{run}`", f"{end['step']:,}", *own])
        read, hours = end["conversations"], end["core_hours"]
    return _markdown([*rows, ["all", f"{sum(end['step'] for end in ends.values()):,}", f"{read:,}", f"{hours:.1f}"]])


def spread(points: Sequence[T], most: int) -> list[T]:
    """At most this number of points, evenly spread, the last among them."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every][::-1])


def _markdown(rows: Sequence[Sequence[Any]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
