"""The packaged exams: where they are stored, and what a model should reach in them. What they store: `items`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qwen2vl.spec import PACKAGED_NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """Scores that a model should reach in an exam."""

    floors: Mapping[str, tuple[float, float]]
    """Least score and score that is aimed at, by task or by "task/metric" for one part of a task."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Task with images of another renderer -> its twin, the task with the same questions about images of our own renderer."""
    gap: tuple[float, float] = (0.15, 0.08)
    """Largest allowed and largest desired difference by which a task scores below its twin."""
    num_tasks: int = 0
    """Number of tasks of the exam."""
    mean: tuple[float, float] | None = None
    """Least and desired mean over all its tasks, unweighted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """A packaged exam."""

    path: Path
    """Its archive."""
    aims: Aims
    max_new_tokens: int
    """Longest answer in tokens; more than any right answer needs."""


EXAMS = {
    "exam": Exam(
        path=PACKAGED_NANO.parent / "exams" / "exam.zip",
        aims=Aims(
            floors={
                "colour_shape": (0.97, 0.99),
                "glyph_name": (0.97, 0.99),
                "count_nine": (0.75, 0.95),
                "glyph_ground": (0.60, 0.90),
                "ground": (0.60, 0.90),
                "screen/point": (0.60, 0.90),
                "next_action": (0.50, 0.90),
                "read_word": (0.85, 0.95),
                "read_line": (0.60, 0.90),
                "receipt": (0.50, 0.85),
                "form": (0.60, 0.90),
                "table": (0.30, 0.80),
                "chart_value": (0.30, 0.80),
                "motion": (0.95, 0.99),
                "order": (0.95, 0.99),
                "late": (0.95, 0.99),
                "difference": (0.40, 0.95),
                "compare": (0.80, 0.95),
                "transfer_photo": (0.45, 0.85),
            },
            twins={
                "transfer_page": "receipt",
                "transfer_screen": "screen",
                "transfer_chart": "chart_value",
                "transfer_line": "read_line",
            },
            num_tasks=29,
            mean=(0.68, 0.90),
        ),
        max_new_tokens=192,
    ),
    "languages": Exam(path=PACKAGED_NANO.parent / "exams" / "languages.zip", aims=Aims(floors={}), max_new_tokens=96),
}
"""Exams by the name that `qwen2vl eval` takes."""
