"""The studies at tiny size: drawn, trained, asked, written, resumed. Their tables: tests/tools/test_study_tables.py."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import studies, study_items
from experiments.study_recipes import LENGTH, LENGTHS, Study
from qwen2vl.data.plan import Budgets
from qwen2vl.processing.grounding import box_markup, point_markup
from qwen2vl.spec.config import NANO
from qwen2vl.training.run import train_run
from qwen2vl.training.run_directory import read_metrics

SHALLOW = replace(NANO, vision=replace(NANO.vision, depth=1), text=replace(NANO.text, num_hidden_layers=1))
SLIGHT = replace(
    LENGTH,
    variants=tuple(
        replace(variant, config=replace(SHALLOW, text=replace(SHALLOW.text, rope=variant.config.text.rope)))
        for variant in LENGTH.variants[:2]
    ),
    columns=LENGTH.columns[: len(LENGTHS)],
    work=4e9,
    budgets=Budgets(tokens=160, visual_tokens=160, media=16),
)
SHARE = 0.002


@pytest.fixture
def slight(monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of a model of one layer, on videos that need no fonts, with a few steps per run."""
    monkeypatch.setitem(studies.STUDIES, "length", replace(SLIGHT, work=SLIGHT.work / SHARE))
    monkeypatch.setattr(studies, "FEWEST_RECORDS", 12)
    monkeypatch.setattr(study_items, "MAX_NEW_TOKENS", 6)
    return studies.STUDIES["length"]


def test_a_study_from_scratch_to_its_result_and_again(
    slight: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["length", "--share", str(SHARE), "--jobs", "0", "--runs", str(tmp_path)]
    folder = tmp_path / f"study_length-{SHARE}"
    options = studies.parse(words)
    studies.draw_and_build(slight, folder, options)
    spec = studies.spec_of(slight, "1d-8-0", folder, SHARE)
    assert train_run(spec, folder / "1d-8-0", lambda line: None, num_workers=0, max_steps=1).steps == 1

    assert studies.main(words) == 0
    result = json.loads((folder / "study_length.json").read_text())
    assert [variant["name"] for variant in result["variants"]] == ["1d-8", "mrope-8"]
    for variant in result["variants"]:
        assert [run["seed"] for run in variant["runs"]] == [0, 1]
        assert all(run["steps"] > 1 for run in variant["runs"])
        assert set(variant["scores"]) == {column.source for column in slight.columns}
        assert all(0 <= each["low"] <= each["score"] <= each["high"] <= 1 for each in variant["scores"].values())
    steps = [line["step"] for line in read_metrics(folder / "1d-8-0" / "metrics.jsonl")]
    assert steps == list(range(1, result["variants"][0]["runs"][0]["steps"] + 1))
    assert '"rope": "1d"' in (folder / "1d-8-0" / "export" / "config.json").read_text()
    assert f"share of {SHARE} of work" in capsys.readouterr().out

    monkeypatch.setattr(studies, "train_run", lambda *_, **__: pytest.fail("trained again"))
    assert studies.main(words) == 0
    assert json.loads((folder / "study_length.json").read_text())["variants"] == result["variants"]


def test_a_run_in_a_separate_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The run has the options of the command, and its failure ends the command."""
    options = studies.parse(["length", "--share", "0.001", "--jobs", "1", "--runs", str(tmp_path)])
    assert studies.run_all(LENGTH, studies.folder_of(options), options) == 1
    printed = capfd.readouterr()
    assert "6 runs, 6 of them to do" in printed.out
    assert f'"{tmp_path}/study_length-0.001/store" is no store' in printed.err


def test_a_trial_never_replaces_a_result() -> None:
    assert studies.parse(["mrope"]).out == studies.RESULTS
    assert studies.parse(["mrope", "--share", "0.05"]).out == Path("runs/study_mrope-0.05")


@pytest.mark.parametrize("words", [["mrope", "--share", "0"], ["mrope", "--only", "2d-0"], ["nothing"]])
def test_wrong_use_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        studies.main(words)
    assert words[-1] in capsys.readouterr().err


def test_the_parts_of_an_answer_are_scored_separately() -> None:
    assert study_items.share_right("ab\ncd", "ab\ncd") == 1
    assert study_items.share_right("ab\ncd", "ab") == 0.5
    assert study_items.share_right("ab", "ab\ncd") == 0.5
    assert study_items.share_right("red ring, blue star\nno shape", "red ring, red star\nno shape") == pytest.approx(
        2 / 3
    )
    box = box_markup((100, 100, 300, 300), "the red ring")
    assert study_items.share_right(box, box_markup((110, 90, 300, 290))) == 1
    assert study_items.share_right(box, box_markup((300, 300, 500, 500))) == study_items.share_right(box, "none") == 0
    point = point_markup((500, 500))
    assert (
        study_items.share_right(f"{point}\n{point}", f"{point_markup((590, 450))}\n{point_markup((610, 500))}") == 0.5
    )
    assert study_items.share_right(point, "here") == 0


def test_an_interval_spans_those_of_the_seeds() -> None:
    one, other = (studies.score_of_seeds([shares]) for shares in ([1.0] * 50 + [0.0] * 50, [1.0] * 70 + [0.0] * 30))
    both = studies.score_of_seeds([[1.0] * 50 + [0.0] * 50, [1.0] * 70 + [0.0] * 30])
    assert (both["low"], both["high"]) == (one["low"], other["high"])
    assert (both["score"], both["seeds"]) == (0.6, [0.5, 0.7])


@pytest.fixture(autouse=True)
def keep_signals() -> Any:
    """A command that starts runs changes the handler of SIGTERM in this process, which other tests share."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)
