"""Tables and findings of the studies follow from their scores."""

from typing import Any

from experiments.study_recipes import (
    DYNAMIC_RESOLUTION,
    LENGTH,
    LENGTHS,
    MROPE,
    STUDIES,
    TRAINED_FRAMES,
    VIDEO_TASKS,
    Study,
)
from tools import study_tables
from tools.study_tables import Finding


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


def test_tables_have_the_form_of_the_paper() -> None:
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


def test_a_missing_study_names_its_command() -> None:
    assert study_tables.block("mrope")({}) == "Not measured yet: `python -m experiments.studies mrope` does it.\n"


def test_a_verdict_claims_no_more_than_the_scores() -> None:
    words = {
        (supports, contradicts): Finding(claim="", here="", supports=supports, contradicts=contradicts).verdict
        for supports in (True, False)
        for contradicts in (True, False)
    }
    assert words[True, False] == "repeats"
    assert words[False, False].startswith("open")


def test_every_study_has_findings_about_its_own_variants_and_sources() -> None:
    """The tables read only result files, whose names and numbers of frames come from the recipes."""
    assert set(study_tables.FINDINGS) == set(STUDIES)
    assert {variant.name for variant in LENGTH.variants} >= {f"mrope-{TRAINED_FRAMES}", f"1d-{TRAINED_FRAMES}"}
    assert [column.source.rpartition("-")[2] for column in LENGTH.columns[: len(LENGTHS)]] == [str(n) for n in LENGTHS]
    assert set(VIDEO_TASKS) == {"film_rows", "track"}
