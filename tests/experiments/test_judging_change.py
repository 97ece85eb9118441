"""Old and new scores side by side, only of the same weights in the same exam."""

import json
from pathlib import Path

import pytest

from experiments import judging_change
from tools import exam_tables


def scores(path: Path, *, weights: str = "a", **tasks: float) -> str:
    about = {"weights": weights, "exam": "exam", "digest": "d", "platform": "x86_64"}
    lines = {task: {"metric": "exact", "n": 300, "score": score} for task, score in tasks.items()}
    path.write_text(json.dumps(about | {"tasks": lines}))
    return str(path)


def test_every_task_has_both_scores_and_their_difference(tmp_path: Path) -> None:
    files = scores(tmp_path / "old", ground=0.5, late=0.25), scores(tmp_path / "new", ground=0.4, late=0.25)
    out = tmp_path / "out.json"
    assert judging_change.main([*files, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["tasks"]["ground"] == {"metric": "exact", "n": 300, "old": 0.5, "new": 0.4}
    assert result["mean"] == {"old": 0.375, "new": 0.325}
    rows = exam_tables.judging_change({"judging_change": result}).splitlines()[2:]
    assert [row.split(" | ")[2:] for row in rows] == [
        ["50.0%", "40.0%", "-10.0 |"],
        ["25.0%", "25.0%", "0 |"],
        ["37.5%", "32.5%", "-5.0 |"],
    ]
    assert "experiments.judging_change" in exam_tables.judging_change({})


def test_scores_of_other_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = scores(tmp_path / "old", ground=0.5), scores(tmp_path / "new", weights="b", ground=0.5)
    with pytest.raises(SystemExit):
        judging_change.main([*files, "--out", str(tmp_path / "out.json")])
    assert "weights of the two files differ" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
