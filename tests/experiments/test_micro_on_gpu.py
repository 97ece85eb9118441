"""The GPU script for micro, here at nano's size, with two stages of two steps, on tasks that need no fonts."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments import micro_on_gpu as script
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.recipes import micro
from qwen2vl.spec.config import NANO

BUDGETS = Budgets(tokens=896, visual_tokens=896, media=128)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [
        replace(stage, steps=2, phases=(Phase(mixtures=({"colour_shape@0": 1},)),), budgets=BUDGETS, packs_per_step=1)
        for stage in micro.STAGES[:2]
    ]
    monkeypatch.setattr(micro, "STAGES", tuple(stages))
    monkeypatch.setattr(micro, "MICRO", NANO)


def test_pieces_until_the_scores(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first piece has no time to train, the second is stopped, the third trains to the end."""
    calls: list[list[str]] = []
    verbs = script.qwen2vl
    monkeypatch.setattr(
        script, "qwen2vl", lambda words: calls.append(words) or (0 if words[0] == "eval" else verbs(words))
    )
    words = ["--runs", str(tmp_path), "--share", "0.5", "--workers", "1"]
    settings = ["--more", "--validation-items", "0", "--num-workers", "0"]
    run = tmp_path / "micro"
    monkeypatch.setattr(script, "SHARD", "2MB")

    assert script.main([*words, "--minutes", "0", *settings]) == 0
    assert [each[:2] for each in calls] == [["data", "draw"], ["data", "build"]]
    assert script.steps_done(run) == 0

    assert script.main([*words, *settings, "--max-steps", "3"]) == 0
    assert script.steps_done(run) == 3
    assert not (tmp_path / "micro-weights").exists()

    calls.clear()
    assert script.main([*words, *settings]) == 0
    assert [each[0] for each in calls] == ["train", "report", "convert", "eval"]
    assert (run / "curves.png").exists()
    shards = list((tmp_path / "micro-weights").glob("*.safetensors"))
    assert len(shards) > 2
    assert max(shard.stat().st_size for shard in shards) < 2.1e6
    assert calls[-1][:4] == ["eval", "exam", "--model", str(tmp_path / "micro-weights")]

    (run / "exam.json").touch()
    calls.clear()
    assert script.main([*words, *settings]) == 0
    assert [each[0] for each in calls] == ["train"]
