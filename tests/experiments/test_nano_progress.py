"""Progress of the run of nano from the lines of its metrics."""

import json

from experiments.nano_progress import main, progress

LINES = [
    {"step": 1, "samples": 70, "step_s": 1.0},
    {"step": 2, "samples": 80, "step_s": 2.0},
    {"step": 2, "validation_loss": 1.5, "exact": {"a": 0.5, "b": 0.0}},
]


def test_conversations_and_core_hours_are_summed_over_steps():
    found = progress(LINES, processes=2)
    assert found["step"] == 2 and found["conversations"] == 150
    assert found["core_hours"] == round(6 / 3600, 3)
    assert found["validations"] == [{"step": 2, "validation_loss": 1.5, "exact": 0.25}]


def test_the_same_leg_is_replaced(tmp_path):
    run, out = tmp_path / "nano", tmp_path / "progress.json"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:1]))
    main([str(run), "--out", str(out)])
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    main([str(run), "--out", str(out), "--note", "resumed"])
    (leg,) = json.loads(out.read_text())["legs"]
    assert leg["step"] == 2 and leg["note"] == "resumed"
