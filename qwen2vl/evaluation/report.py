"""Scores per task with their intervals, what they should be, and both as tables. As a page with images: `page`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from qwen2vl.evaluation.intervals import difference_interval, interval_of
from qwen2vl.evaluation.judging import Judged

Scores = Mapping[str, Mapping[str, Any]]
MEASURES = {
    "exact": "exact",
    "anls": "ANLS",
    "number": "number",
    "iou": "IoU ≥ 0.5",
    "point": "point inside",
    "action": "action",
}
"""Metrics as readers know them."""
JOINT = " + "
"""Between the metrics of one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """What a model should reach in an exam."""

    floors: Mapping[str, tuple[float, float]]
    """Task, or "task/metric" for one part of it, -> score that is the least, score that is aimed at."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Task whose images another renderer made -> the task that asks the same of our own."""
    gap: tuple[float, float] = (0.25, 0.08)
    """So much may a task be under its twin at most, and so much is aimed at."""


def score(results: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Task -> score, low, high (95 %), n and metric; mean_iou where boxes were asked for; in order of appearance.

    A task with items of several metrics, "exact + point", also has `parts`: metric -> score, low, high, n.
    """
    by_task: dict[str, list[Judged]] = defaultdict(list)
    for result in results:
        by_task[result.task].append(result)
    return {task: score_task(judged) for task, judged in by_task.items()}


def score_task(judged: Sequence[Judged]) -> dict[str, Any]:
    by_metric: dict[str, list[Judged]] = defaultdict(list)
    for result in judged:
        by_metric[result.metric].append(result)
    line = mean_score(judged) | {"metric": JOINT.join(by_metric)}
    if len(by_metric) > 1:
        line["parts"] = {metric: mean_score(part) for metric, part in by_metric.items()}
    overlaps = [result.overlap for result in judged if result.overlap is not None]
    return line | ({"mean_iou": round(fmean(overlaps), 4)} if overlaps else {})


def mean_score(judged: Sequence[Judged]) -> dict[str, Any]:
    scores = [result.score for result in judged]
    low, high = interval_of(scores)
    return {"score": round(fmean(scores), 4), "low": round(low, 4), "high": round(high, 4), "n": len(judged)}


def gaps(scores: Scores, aims: Aims) -> dict[str, dict[str, Any]]:
    """Task -> its twin, gap (how far it is under it), low, high (95 %), metric; of the tasks that were scored with their twins.

    Of a twin with several metrics only the items count that were scored as the task is.
    """
    found = {}
    for task, twin in aims.twins.items():
        if task in scores and twin in scores:
            metric = scores[task]["metric"]
            own, other = scores[twin].get("parts", {}).get(metric, scores[twin]), scores[task]
            bounds = [(line["low"], line["high"]) for line in (own, other)]
            low, high = difference_interval(own["score"], bounds[0], other["score"], bounds[1])
            figures = {"gap": own["score"] - other["score"], "low": low, "high": high}
            rounded = {name: round(value, 4) for name, value in figures.items()}
            found[task] = {"twin": twin} | rounded | {"metric": metric}
    return found


def with_parts(scores: Scores) -> dict[str, Mapping[str, Any]]:
    """Every task, and after one of several metrics its parts as "task/metric"."""
    found: dict[str, Mapping[str, Any]] = {}
    for task, line in scores.items():
        parts = line.get("parts", {})
        found |= {task: line} | {f"{task}/{metric}": part | {"metric": metric} for metric, part in parts.items()}
    return found


def missed(scores: Scores, aims: Aims) -> list[str]:
    """Tasks under their floor, or too far under their twin."""
    lines = with_parts(scores)
    under = [task for task, (floor, _) in aims.floors.items() if task in lines and lines[task]["score"] < floor]
    return under + [task for task, line in gaps(scores, aims).items() if line["gap"] > aims.gap[0]]


def measure(metric: str) -> str:
    """ "iou + exact" as readers know it; "" of results from before metrics were named."""
    return ", ".join(MEASURES.get(name, name) for name in metric.split(JOINT))


def table(scores: Scores, aims: Aims) -> str:
    """Markdown: a row for every task and part; then, where there are twins, one for each pair; last the floors that are missed."""
    rows = ["| task | measure | score | 95 % interval | items | floor (aim) |", "|---|---|---|---|---|---|"]
    for task, line in with_parts(scores).items():
        wanted = "{:.0%} ({:.0%})".format(*aims.floors[task]) if task in aims.floors else ""
        interval = f"{line['low']:.1%} to {line['high']:.1%}"
        kind = measure(line.get("metric", ""))
        rows.append(f"| {task} | {kind} | {line['score']:.1%} | {interval} | {line['n']} | {wanted} |")
    return "\n".join([*rows, *gap_rows(scores, aims), "", verdict(scores, aims)])


def gap_rows(scores: Scores, aims: Aims) -> list[str]:
    found = gaps(scores, aims)
    if not found:
        return []
    rows = [
        "",
        "| other renderer | twin | measure | points under it | 95 % interval | at most (aim) |",
        "|---|---|---|---|---|---|",
    ]
    wanted = "{:.0f} ({:.0f})".format(*(100 * bound for bound in aims.gap))
    for task, line in found.items():
        gap, low, high = (f"{100 * line[key]:.1f}" for key in ("gap", "low", "high"))
        rows.append(f"| {task} | {line['twin']} | {measure(line['metric'])} | {gap} | {low} to {high} | {wanted} |")
    return rows


def verdict(scores: Scores, aims: Aims) -> str:
    if not set(aims.floors) & set(with_parts(scores)) and not gaps(scores, aims):
        return "No floor is set for these tasks."
    under = missed(scores, aims)
    return f"Under their floor: {', '.join(under)}." if under else "Every floor holds."
