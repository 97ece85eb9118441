"""Scores beside the work of training: `python -m experiments.score_curve RUN [RUN that goes on from it ...]`.

Checkpoints that a run still has sit an exam; `qwen2vl train nano --train.keep-checkpoints 100` keeps them all.
Without a run the image is drawn again.

    benchmarks/results/score_curve_EXAM.json   scores of checkpoints, conversations and hours until then
    docs/images/score-curve-EXAM.png           drawn from it; `make tables` writes the table

Hours are those of the steps, of all processes together, on whatever machine that was: only their ratios mean anything.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from qwen2vl.common.files import write_atomically
from qwen2vl.evaluation.exam import EXAMS, read_exam
from qwen2vl.evaluation.report import score
from qwen2vl.evaluation.runner import run_exam
from qwen2vl.inference import Chat
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.curves import MOST_TASKS, draw_rows
from qwen2vl.training.export import export_run
from qwen2vl.training.run_directory import read_metrics
from tools.results import RESULTS, say

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
NOT_YET = "Not measured yet: `python -m experiments.score_curve --exam {exam} runs/nano` does it.\n"
MOST_COLUMNS = 6
Result = dict[str, Any]
T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--exam", choices=EXAMS, default="nano")
    parser.add_argument("--processes", type=int, default=2, help="that trained, each on a core of its own")
    parser.add_argument("--most", type=int, default=100, help="checkpoints of one run, the last among them")
    parser.add_argument("--go-on", action="store_true", help="ask no checkpoint whose scores the file has already")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--image", type=Path, default=None)
    options = parser.parse_args(argv)
    options.out = options.out or RESULTS / f"score_curve_{options.exam}.json"
    options.image = options.image or IMAGES / f"score-curve-{options.exam}.png"
    if options.runs:
        known = json.loads(options.out.read_text())["points"] if options.go_on and options.out.exists() else []
        points = list(measure(options.runs, options.exam, options.processes, options.most, known))
        write_atomically(options.out, json.dumps({"exam": options.exam, "points": points}, indent=1) + "\n")
    draw(json.loads(options.out.read_text()), options.image)
    say(f"score curve: written to {options.out} and {options.image}")
    return 0


def measure(
    runs: Sequence[Path], exam: str, processes: int, most: int = 100, known: Sequence[dict[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Checkpoints of the runs in order, at most so many of each; what was trained before counts with them."""
    conversations, seconds = 0, 0.0
    scored = {(point["run"], point["step"]): point["scores"] for point in known}
    for run in runs:
        steps = iter(spread(Checkpoints(run / "checkpoints", keep=1).steps(), most))
        wanted = next(steps, None)
        for line in read_metrics(run / "metrics.jsonl"):
            if "samples" not in line:
                continue
            conversations, seconds = conversations + line["samples"], seconds + line["step_s"]
            if line["step"] == wanted:
                scores = scored.get((run.name, wanted)) or scores_of(run, wanted, exam)
                point = {"run": run.name, "step": wanted, "conversations": conversations}
                point |= {"core_hours": round(seconds * processes / 3600, 3), "scores": scores}
                say(f"  {run.name} {wanted}: mean {mean(point):.1%}, {point['core_hours']:.2f} core hours")
                yield point
                wanted = next(steps, None)


def scores_of(run: Path, step: int, exam: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights"
        export_run(run, weights, step)
        chosen = EXAMS[exam]
        results = run_exam(Chat(str(weights)), read_exam(chosen.path), max_new_tokens=chosen.max_new_tokens)
    return {task: line["score"] for task, line in score(results).items()}


def mean(point: dict[str, Any]) -> float:
    return fmean(point["scores"].values())


def block(exam: str) -> Callable[[dict[str, Result]], str]:
    """A row for every task, a column for every checkpoint."""
    return lambda results: table(results.get(f"score_curve_{exam}"), exam)


def table(result: Result | None, exam: str) -> str:
    if result is None:
        return NOT_YET.format(exam=exam)
    points = spread(result["points"], MOST_COLUMNS)
    head = ["task", *(f"{point['core_hours']:.1f} core hours" for point in points)]
    rows = [head, ["---"] * len(head)]
    rows.append(["run", *(point["run"] for point in points)])
    rows.append(["conversations", *(f"{point['conversations'] / 1000:.0f} thousand" for point in points)])
    rows += [[task, *(f"{point['scores'][task]:.1%}" for point in points)] for task in points[-1]["scores"]]
    rows.append(["mean", *(f"{mean(point):.1%}" for point in points)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def work(results: dict[str, Result]) -> str:
    """What each of the runs that the shipped weights come from has cost by itself, and all of them together."""
    result = results.get("score_curve_exam")
    if result is None:
        return NOT_YET.format(exam="exam")
    ends = {point["run"]: point for point in result["points"]}
    rows = [["run", "steps", "conversations", "core hours"], ["---"] * 4]
    read, hours = 0, 0.0
    for run, end in ends.items():
        own = f"{end['conversations'] - read:,}", f"{end['core_hours'] - hours:.1f}"
        rows.append([f"`{run}`", f"{end['step']:,}", *own])
        read, hours = end["conversations"], end["core_hours"]
    rows.append(["all", f"{sum(end['step'] for end in ends.values()):,}", f"{read:,}", f"{hours:.1f}"])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def spread(points: Sequence[T], most: int) -> list[T]:
    """At most so many, the last among them, as evenly as they lie."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every][::-1])


def draw(result: Result, path: Path) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    points = result["points"]
    hours = [point["core_hours"] for point in points]
    tasks = {task: (hours, [point["scores"][task] for point in points]) for task in points[-1]["scores"]}
    if len(tasks) > MOST_TASKS:
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        draw_rows(left, tasks)
        left.set(title="score, from white to black; the last beside its task", xlabel="core hours", xlim=(0, hours[-1]))
        draw_mean(right, points)
        figure.savefig(path, dpi=110, format="png")
        return
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)
    for task, series in tasks.items():
        axes.plot(*series, marker=".", linewidth=1, label=task)
    draw_mean(axes, points)
    axes.legend(fontsize=8, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110, format="png")


def draw_mean(axes: Any, points: Sequence[dict[str, Any]]) -> None:
    hours, means = zip(*((point["core_hours"], mean(point)) for point in points), strict=True)
    axes.plot(hours, means, marker="o", linewidth=3, color="black", label="mean")
    axes.set(xlabel="core hours", ylabel="score", ylim=(0, 1))
    axes.grid(alpha=0.3, which="both")


if __name__ == "__main__":
    raise SystemExit(main())
