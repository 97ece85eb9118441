"""Scores per task with their intervals, as data and as a table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from qwen2vl.evaluation.metrics import wilson_interval
from qwen2vl.evaluation.runner import Judged


def score(results: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Task -> score, low, high (95 %), n, and mean_iou where boxes were asked for; tasks in order of appearance."""
    by_task: dict[str, list[Judged]] = defaultdict(list)
    for result in results:
        by_task[result.item.task].append(result)
    return {task: score_task(judged) for task, judged in by_task.items()}


def score_task(judged: Sequence[Judged]) -> dict[str, Any]:
    right = sum(result.right for result in judged)
    low, high = wilson_interval(right, len(judged))
    line: dict[str, Any] = {
        "score": round(right / len(judged), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n": len(judged),
    }
    overlaps = [result.overlap for result in judged if result.overlap is not None]
    return line | ({"mean_iou": round(sum(overlaps) / len(overlaps), 4)} if overlaps else {})


def table(scores: Mapping[str, Mapping[str, Any]], floors: Mapping[str, tuple[float, float]] | None = None) -> str:
    """Markdown rows: task, share of right answers with its interval, number of items, and floor (aim) where set."""
    floors = floors or {}
    rows = ["| task | right | 95 % interval | items | floor (aim) |", "|---|---|---|---|---|"]
    for task, line in scores.items():
        wanted = "{:.0%} ({:.0%})".format(*floors[task]) if task in floors else ""
        interval = f"{line['low']:.1%} to {line['high']:.1%}"
        rows.append(f"| {task} | {line['score']:.1%} | {interval} | {line['n']} | {wanted} |")
    return "\n".join(rows)
