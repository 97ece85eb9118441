"""The studies at tiny size: drawn, trained, asked, written; taken up again; told in tables."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import studies, study_items, study_tables
from experiments.study_recipes import DYNAMIC_RESOLUTION, LENGTH, LENGTHS, MROPE, Study
from experiments.study_tables import Finding
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
    """A study of a model of one layer, on videos that need no fonts, and a few steps a run."""
    monkeypatch.setitem(studies.STUDIES, "length", replace(SLIGHT, work=SLIGHT.work / SHARE))
    monkeypatch.setattr(studies, "FEWEST_RECORDS", 12)
    monkeypatch.setattr(study_items, "MAX_NEW_TOKENS", 6)
    return studies.STUDIES["length"]


def test_a_study_from_nothing_to_its_table_and_again(
    slight: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["length", "--share", str(SHARE), "--jobs", "0", "--runs", str(tmp_path)]
    folder = tmp_path / f"study_length-{SHARE}"
    options = studies.parse(words)
    studies.draw_and_build(slight, folder, options)
    spec = studies.spec_of(slight, "1d-8-0", folder, SHARE)
    assert train_run(spec, folder / "1d-8-0", lambda line: None, num_workers=0, max_steps=1) == 1

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


def test_a_run_in_a_process_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told what the command was told, and what fails in it ends the command."""
    options = studies.parse(["length", "--share", "0.001", "--jobs", "1", "--runs", str(tmp_path)])
    assert studies.run_all(LENGTH, studies.folder_of(options), options) == 1
    told = capfd.readouterr()
    assert "6 runs, 6 of them to do" in told.out
    assert f'"{tmp_path}/study_length-0.001/store" is no store' in told.err


def test_a_trial_never_replaces_a_result() -> None:
    assert studies.parse(["mrope"]).out == studies.RESULTS
    assert studies.parse(["mrope", "--share", "0.05"]).out == Path("runs/study_mrope-0.05")


@pytest.mark.parametrize("words", [["mrope", "--share", "0"], ["mrope", "--only", "2d-0"], ["nothing"]])
def test_wrong_use_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        studies.main(words)
    assert words[-1] in capsys.readouterr().err


def test_answers_are_right_part_by_part() -> None:
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
    one, other = (studies.score([shares]) for shares in ([1.0] * 50 + [0.0] * 50, [1.0] * 70 + [0.0] * 30))
    both = studies.score([[1.0] * 50 + [0.0] * 50, [1.0] * 70 + [0.0] * 30])
    assert (both["low"], both["high"]) == (one["low"], other["high"])
    assert (both["score"], both["seeds"]) == (0.6, [0.5, 0.7])


def result_of(study: Study, scores: dict[str, list[float]], spread: float = 0.05) -> dict[str, Any]:
    """A result file with these scores of every variant, column by column."""
    run = {"seed": 0, "steps": 10, "samples": 100, "tflop": 60.0, "minutes": 20.0, "final_loss": 1.0}
    sources = [column.source for column in study.columns]
    return {
        "name": f"study_{study.name}", "title": study.title, "share": 1.0, "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "A CPU"}, "versions": {"torch": "2.13.0"},
        "columns": [{"source": each.source, "title": each.title, "part": each.part} for each in study.columns],
        "variants": [
            {
                "name": variant.name, "title": variant.title, "runs": [run, run | {"seed": 1, "steps": 12}],
                "tokens": dict.fromkeys(sources, 14.0),
                "scores": {
                    source: {"score": score, "low": score - spread, "high": score + spread, "n": 400, "seeds": [score]}
                    for source, score in zip(sources, scores[variant.name], strict=True)
                },
            }
            for variant in study.variants
        ],
    }  # fmt: skip


def verdicts(study: Study, scores: dict[str, list[float]]) -> list[str]:
    return [finding.verdict for finding in study_tables.FINDINGS[study.name](result_of(study, scores))]


def test_findings_on_rotary_positions() -> None:
    same = [0.5] * 5
    assert verdicts(MROPE, {"1d": same, "mrope": [0.52] * 5}) == ["open, the intervals overlap"] * 2
    assert verdicts(MROPE, {"1d": same, "mrope": [0.5, 0.5, 0.5, 0.7, 0.5]}) == ["repeats", "repeats"]
    assert verdicts(MROPE, {"1d": same, "mrope": [0.7, 0.5, 0.5, 0.3, 0.5]}) == ["repeats in part", "does not repeat"]
    assert verdicts(MROPE, {"1d": same, "mrope": [0.3] * 5}) == ["does not repeat", "open, the intervals overlap"]


def test_findings_on_resolution() -> None:
    fixed = {"fixed-4": [0.1, 0.9, 0.1], "fixed-16": [0.9, 0.1, 0.1], "fixed-36": [0.1, 0.1, 0.9]}
    assert verdicts(DYNAMIC_RESOLUTION, fixed | {"dynamic": [0.9] * 3}) == ["repeats", "repeats"]
    assert verdicts(DYNAMIC_RESOLUTION, fixed | {"dynamic": [0.9, 0.9, 0.5]}) == ["repeats", "does not repeat"]
    one_wins = {"fixed-4": [0.1] * 3, "fixed-16": [0.9] * 3, "fixed-36": [0.5] * 3}
    assert verdicts(DYNAMIC_RESOLUTION, one_wins | {"dynamic": [0.9] * 3})[0] == "does not repeat"
    alike = {variant.name: [0.5] * 3 for variant in DYNAMIC_RESOLUTION.variants}
    assert verdicts(DYNAMIC_RESOLUTION, alike) == ["open, the intervals overlap"] * 2


def test_findings_on_length() -> None:
    kept, lost, never = [0.9] * 6, [0.9, 0.9, 0.5, 0.4, 0.3, 0.2], [0.2] * 6
    other = {"1d-8": lost * 3, "mrope-64": kept * 3}
    assert verdicts(LENGTH, other | {"mrope-8": kept * 3}) == ["repeats"]
    assert verdicts(LENGTH, other | {"mrope-8": lost * 3}) == ["does not repeat"]
    assert verdicts(LENGTH, other | {"mrope-8": kept + lost + never}) == ["repeats in part"]
    assert verdicts(LENGTH, other | {"mrope-8": never * 3}) == ["open, the intervals overlap"]
    text = study_tables.block("length")({"study_length": result_of(LENGTH, other | {"mrope-8": kept + lost + never})})
    assert "M-RoPE: first slide 64, last slide 16, slide after another not learnt. 1D: first slide 16," in text


def test_tables_have_the_papers_shape() -> None:
    scores = {"1d": [0.5] * 5, "mrope": [0.6] * 5}
    text = study_tables.block("mrope")({"study_mrope": result_of(MROPE, scores)})
    assert "| variant | visual tokens | lines read | shapes named |" in text
    assert "| M-RoPE | 14 | 60.0% (55.0% to 65.0%) |" in text
    assert "Mean of the seeds 0, 1;" in text
    assert "60 TFLOP in 10 to 12 steps, 20 to 20 minutes of one thread. Measured on A CPU" in text
    videos = {variant.name: [0.5] * 18 for variant in LENGTH.variants}
    text = study_tables.block("length")({"study_length": result_of(LENGTH, videos)})
    assert "| variant | asked for | visual tokens | 8 frames | 16 frames |" in text
    assert text.count("| first slide |") == 3


def test_what_was_not_measured_says_how() -> None:
    assert study_tables.block("mrope")({}) == "Not measured yet: `python -m experiments.studies mrope` does it.\n"


def test_a_verdict_is_never_more_than_the_scores() -> None:
    words = {
        (supports, contradicts): Finding(claim="", here="", supports=supports, contradicts=contradicts).verdict
        for supports in (True, False)
        for contradicts in (True, False)
    }
    assert words[True, False] == "repeats"
    assert words[False, False].startswith("open")


@pytest.fixture(autouse=True)
def keep_signals() -> Any:
    """A command with runs of their own turns SIGTERM into a KeyboardInterrupt for its process; here that is everybody's."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)
