"""Exam scores beside the work of training: `python -m experiments.score_curve RUN [RUN that continues from it ...]`.

Every checkpoint that a run still has answers an exam; `qwen2vl train nano --train.keep-checkpoints 100` keeps them all.
Without a run the image is drawn again from the result file.

    benchmarks/results/score_curve_EXAM.json   scores of checkpoints, conversations and hours until then
    docs/images/score-curve-EXAM.png           drawn from it; `make tables` writes the table

Hours are those of the steps, summed over all processes, on whatever machine trained: only their ratios are meaningful.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qwen2vl.common.files import write_atomically
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.report import score
from qwen2vl.evaluation.runner import answer_exam
from qwen2vl.inference import Chat
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.curves import MOST_TASKS, draw_rows
from qwen2vl.training.export import export_run
from qwen2vl.training.run_directory import read_metrics
from tools.exam_tables import spread
from tools.results import RESULTS
from tools.script import say

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--exam", choices=EXAMS, default="exam")
    parser.add_argument("--processes", type=int, default=2, help="number of processes that trained, each on one core")
    parser.add_argument("--most", type=int, default=100, help="largest number of checkpoints of one run")
    parser.add_argument("--resume", action="store_true", help="keep the scores that the file already has")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--image", type=Path, default=None)
    options = parser.parse_args(argv)
    options.out = options.out or RESULTS / f"score_curve_{options.exam}.json"
    options.image = options.image or IMAGES / f"score-curve-{options.exam}.png"
    if options.runs:
        known = json.loads(options.out.read_text())["points"] if options.resume and options.out.exists() else []
        points = list(measure(options.runs, options.exam, options.processes, options.most, known))
        write_atomically(options.out, json.dumps({"exam": options.exam, "points": points}, indent=1) + "\n")
    draw(json.loads(options.out.read_text()), options.image)
    say(f"score curve: written to {options.out} and {options.image}")
    return 0


def measure(
    runs: Sequence[Path], exam: str, processes: int, most: int = 100, known: Sequence[dict[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Scores of the checkpoints of some runs in order, at most `most` of each; work of earlier runs counts as well."""
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
                say(f"  {run.name} {wanted}: mean {fmean(scores.values()):.1%}, {point['core_hours']:.2f} core hours")
                yield point
                wanted = next(steps, None)


def scores_of(run: Path, step: int, exam: str) -> dict[str, float]:
    """Score by task of one checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights"
        export_run(run, weights, step)
        results = answer_exam(Chat(str(weights)), exam)
    return {task: line["score"] for task, line in score(results).items()}


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the scores of every task and their mean over the core hours; many tasks become rows of shades."""
    # Here, because matplotlib is an optional package.
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
    hours, means = zip(*((point["core_hours"], fmean(point["scores"].values())) for point in points), strict=True)
    axes.plot(hours, means, marker="o", linewidth=3, color="black", label="mean")
    axes.set(xlabel="core hours", ylabel="score", ylim=(0, 1))
    axes.grid(alpha=0.3, which="both")


if __name__ == "__main__":
    raise SystemExit(main())
