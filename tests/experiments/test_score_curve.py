"""Scores beside work: every checkpoint of successive runs, with the work of earlier runs."""

import json
from pathlib import Path

import pytest

from experiments import score_curve
from tools import exam_tables


def make_run(folder: Path, checkpoints: list[int], steps: int) -> Path:
    """The files of a run, without weights."""
    for step in checkpoints:
        (folder / "checkpoints" / f"step-{step}").mkdir(parents=True)
        (folder / "checkpoints" / f"step-{step}" / "run.json").write_text(json.dumps({"step": step, "files": {}}))
    lines = [{"step": step, "samples": 10, "step_s": 3.6} for step in range(1, steps + 1)]
    lines.insert(1, {"step": 1, "validation_loss": 1.0})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize("others", [[], [f"task{number}" for number in range(20)]], ids=["lines", "rows"])
def test_checkpoints_of_runs_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]) -> None:
    asked = []

    def scores_of(run: Path, step: int, exam: str) -> dict[str, float]:
        asked.append((run.name, step, exam))
        return {"seen": len(asked) / 10, "read": 0.0} | dict.fromkeys(others, len(asked) / 20)

    monkeypatch.setattr(score_curve, "scores_of", scores_of)
    runs = [make_run(tmp_path / "first", [5, 10, 15, 20], 20), make_run(tmp_path / "second", [30], 30)]
    out, image = tmp_path / "curve.json", tmp_path / "curve.png"
    assert score_curve.main([*map(str, runs), "--most", "2", "--out", str(out), "--image", str(image)]) == 0
    assert asked == [("first", 10, "exam"), ("first", 20, "exam"), ("second", 30, "exam")]
    result = json.loads(out.read_text())
    more = [*map(str, runs), str(make_run(tmp_path / "third", [10], 10))]
    assert score_curve.main([*more, "--most", "2", "--resume", "--out", str(out), "--image", str(image)]) == 0
    assert asked[3:] == [("third", 10, "exam")]
    assert json.loads(out.read_text())["points"][:3] == result["points"]
    assert [point["conversations"] for point in result["points"]] == [100, 200, 500]
    assert [point["core_hours"] for point in result["points"]] == pytest.approx([0.02, 0.04, 0.1])
    assert image.read_bytes().startswith(b"\x89PNG")
    lines = exam_tables.score_curve("exam")({"score_curve_exam": result}).splitlines()
    assert lines[2] == "| run | first | first | second |"
    assert lines[0] == "| task | 0.0 core hours | 0.0 core hours | 0.1 core hours |"
    assert lines[-1] == "| mean | 5.0% | 10.0% | 15.0% |"


def test_few_of_many_checkpoints_are_shown() -> None:
    assert exam_tables.spread(range(20), 6) == [3, 7, 11, 15, 19]
    assert exam_tables.spread([7], 6) == [7]
    assert "experiments.score_curve --exam exam" in exam_tables.score_curve("exam")({})
