"""Scores by task with their intervals, the scores that are aimed at, and both as Markdown tables. The page with images: `page`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from qwen2vl.evaluation.exam import Aims
from qwen2vl.evaluation.intervals import difference_interval, interval_of
from qwen2vl.evaluation.judging import Judged

_JOINT = " + "
"""Between the names of the metrics of one task."""


def score(results: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Task -> score, low, high (95 %), n and metric; mean_iou if boxes were asked for; in order of appearance.

    A task with items of several metrics, "exact + point", also has `parts`: metric -> score, low, high, n.
    """
    by_task: dict[str, list[Judged]] = defaultdict(list)
    for result in results:
        by_task[result.task].append(result)
    return {task: _score_task(judged) for task, judged in by_task.items()}


def _score_task(judged: Sequence[Judged]) -> dict[str, Any]:
    by_metric: dict[str, list[Judged]] = defaultdict(list)
    for result in judged:
        by_metric[result.metric].append(result)
    line = _mean_score(judged) | {"metric": _JOINT.join(by_metric)}
    if len(by_metric) > 1:
        line["parts"] = {metric: _mean_score(part) for metric, part in by_metric.items()}
    overlaps = [result.overlap for result in judged if result.overlap is not None]
    return line | ({"mean_iou": round(fmean(overlaps), 4)} if overlaps else {})


def _mean_score(judged: Sequence[Judged]) -> dict[str, Any]:
    scores = [result.score for result in judged]
    low, high = interval_of(scores)
    return {"score": round(fmean(scores), 4), "low": round(low, 4), "high": round(high, 4), "n": len(judged)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Scores of an exam beside its aims."""

    scores: Mapping[str, Mapping[str, Any]]
    """In the form that `score` returns."""
    aims: Aims

    def lines(self) -> dict[str, Mapping[str, Any]]:
        """Scores of every task; a task of several metrics is followed by its parts as "task/metric"."""
        found: dict[str, Mapping[str, Any]] = {}
        for task, line in self.scores.items():
            parts = line.get("parts", {})
            found |= {task: line} | {f"{task}/{metric}": part | {"metric": metric} for metric, part in parts.items()}
        return found

    def gaps(self) -> dict[str, dict[str, Any]]:
        """Task -> its twin, gap (how far it is under the twin), low, high (95 %), metric; if both have scores.

        If the twin has several metrics, only its items with the metric of the task are counted.
        """
        found = {}
        for task, twin in self.aims.twins.items():
            if task in self.scores and twin in self.scores:
                metric = self.scores[task]["metric"]
                own, other = self.scores[twin].get("parts", {}).get(metric, self.scores[twin]), self.scores[task]
                bounds = [(line["low"], line["high"]) for line in (own, other)]
                low, high = difference_interval(own["score"], bounds[0], other["score"], bounds[1])
                figures = {"gap": own["score"] - other["score"], "low": low, "high": high}
                rounded = {name: round(value, 4) for name, value in figures.items()}
                found[task] = {"twin": twin} | rounded | {"metric": metric}
        return found

    def mean(self) -> float:
        """Mean over the tasks, each with the same weight."""
        return fmean(line["score"] for line in self.scores.values())

    def mean_bounds(self) -> tuple[float, float] | None:
        """Floor and aim of the mean; None unless all tasks of the exam have scores."""
        return self.aims.mean if len(self.scores) == self.aims.num_tasks else None

    def missed(self) -> list[str]:
        """Tasks under their floor, then tasks too far under their twin, then "mean"."""
        lines = self.lines()
        under = [
            task for task, (floor, _) in self.aims.floors.items() if task in lines and lines[task]["score"] < floor
        ]
        under += [task for task, line in self.gaps().items() if line["gap"] > self.aims.gap[0]]
        bounds = self.mean_bounds()
        return [*under, "mean"] if bounds and self.mean() < bounds[0] else under

    def verdict(self) -> str:
        """One sentence about the floors."""
        if not set(self.aims.floors) & set(self.lines()) and not self.gaps() and not self.mean_bounds():
            return "No floor is set for these tasks."
        under = self.missed()
        return f"Under their floor: {', '.join(under)}." if under else "Every floor holds."

    def table(self) -> str:
        """Markdown: a row for every task and part and one for their mean, a row for every pair of twins, the missed floors."""
        rows = ["| task | measure | score | 95 % interval | items | floor (aim) |", "|---|---|---|---|---|---|"]
        for task, line in self.lines().items():
            wanted = describe_bounds(self.aims.floors.get(task))
            interval = f"{line['low']:.1%} to {line['high']:.1%}"
            measure = describe_metric(line.get("metric", ""))
            rows.append(f"| {task} | {measure} | {line['score']:.1%} | {interval} | {line['n']} | {wanted} |")
        if len(self.scores) > 1:
            rows.append(
                f"| mean of {len(self.scores)} |  | {self.mean():.1%} |  |  | {describe_bounds(self.mean_bounds())} |"
            )
        if gaps := self.gaps():
            rows.append("")
            rows.append("| other renderer | twin | measure | points under it | 95 % interval | at most (aim) |")
            rows.append("|---|---|---|---|---|---|")
            for task, line in gaps.items():
                gap, low, high = (f"{100 * line[key]:.1f}" for key in ("gap", "low", "high"))
                cells = (
                    task,
                    line["twin"],
                    describe_metric(line["metric"]),
                    gap,
                    f"{low} to {high}",
                    self.gap_bounds(),
                )
                rows.append(f"| {' | '.join(cells)} |")
        return "\n".join([*rows, "", self.verdict()])

    def gap_bounds(self) -> str:
        """Largest gap and gap that is aimed at, in points."""
        return "{:.0f} ({:.0f})".format(*(100 * bound for bound in self.aims.gap))


def describe_bounds(bounds: tuple[float, float] | None) -> str:
    """Floor and aim: "60% (90%)"; "" without them."""
    return "{:.0%} ({:.0%})".format(*bounds) if bounds else ""


def describe_metric(metric: str) -> str:
    """The metric of a task as readers know it: "iou + exact" gives "IoU ≥ 0.5, exact"; "" for old results without one."""
    names = {"anls": "ANLS", "iou": "IoU ≥ 0.5", "point": "point inside"}
    return ", ".join(names.get(name, name) for name in metric.split(_JOINT))
