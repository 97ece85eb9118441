"""Tables are written from result files, and pages that are not up to date are reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.runner import weights_digest
from tools import benchmark_tables, tables

PAGE = "# Title\n\n<!-- benchmarks: {block} -->\nby hand\n<!-- benchmarks end -->\n\nafter\n"


def line(**changed: Any) -> dict[str, Any]:
    figures = {"median": 1.23456, "min": 1.0, "max": 2.0, "raw": [1.0, 1.23456, 2.0]}
    known = {
        "what": "Tower", "unit": "s", "ours": figures, "theirs": figures | {"median": 150.4}, "ratio": 1.5, "floor": 1.3,
        "aim": 1.8, "ceiling": None, "holds": True, "limit": "GEMM rate", "our_share": 0.5, "their_share": 0.25,
    }  # fmt: skip
    return known | changed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    result = {
        "name": "tower", "title": "Vision tower", "small": False, "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "A CPU", "cores": 2, "threads": 2, "memory_gb": 25.3},
        "versions": {"torch": "2.13.0", "transformers": "5.23.0", "pillow": "13.0.0"},
        "settings": {"blocks": 8, "dtype": "bf16", "compile": ["ours compiled"]},
        "agreement": {"checks": [{"what": "in fp32", "largest_relative_difference": 1.2e-6, "tolerance": 1e-3}]},
        "limits": {"gemm_gflops_bf16": 380.0},
        "comparisons": [line(), line(what="Aside", floor=None, holds=None, note="a reason")],
    }  # fmt: skip
    (folder / "tower.json").write_text(json.dumps(result))
    return folder


def run(root: Path, results: Path, *options: str) -> int:
    return tables.main(["--root", str(root), "--results", str(results), *options])


def test_blocks_are_rewritten_and_then_up_to_date(tmp_path: Path, results: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE.format(block="tower"))
    assert run(tmp_path, results, "--check") == 1
    assert "by hand" in page.read_text()
    assert run(tmp_path, results) == 0
    text = page.read_text()
    assert "by hand" not in text
    assert text.startswith("# Title")
    assert text.endswith("after\n")
    row = "| Tower | 1.23 s (1 to 2) | 150 s (1 to 2) | 1.50x | 1.3x (1.8x): holds | GEMM rate 50%, theirs 25% |"
    assert row in text
    assert "* Aside: a reason." in text
    assert "Agreement, in fp32: largest relative difference 1.2e-06 (allowed 0.001)" in text
    assert (
        "Measured on A CPU, 2 of 2 cores, 25 GB, torch 2.13.0, transformers 5.23.0, Pillow 13.0.0, 2026-01-02" in text
    )
    assert run(tmp_path, results, "--check") == 0


def test_the_summary_has_only_lines_with_a_bound(tmp_path: Path, results: Path) -> None:
    text = tables.render_page(PAGE.format(block="summary"), tables.load(results), "README.md")
    assert "| Tower |" in text
    assert "| Aside |" not in text


def test_a_missing_result_names_its_command(tmp_path: Path) -> None:
    for block, command in (("summary", "make bench"), ("gpu", "benchmarks.gpu.run"), ("exam", "qwen2vl eval exam")):
        assert command in tables.render_page(PAGE.format(block=block), {}, "README.md")


def test_missed_bounds_are_marked(results: Path) -> None:
    assert benchmark_tables.describe_bound(line(holds=False)) == "1.3x (1.8x): MISSED"
    assert benchmark_tables.describe_bound(line(floor=None, ceiling=1500.0, unit="MB")) == "under 1500 MB: holds"
    assert (
        benchmark_tables.describe_bound(line(floor=None, least=0.995, unit="", holds=False)) == "at least 0.995: MISSED"
    )


def test_the_peer_is_named(results: Path) -> None:
    """The table of a result names its peer; the summary shows no figures of peers other than transformers."""
    found = tables.load(results)
    found["tower"]["peer"] = "round robin"
    assert "| What | Ours | round robin |" in benchmark_tables.block("tower")(found)
    assert "round robin" not in benchmark_tables.summary(found)
    assert "| Tower | 1.23 s (1 to 2) | 1.3x (1.8x): holds |" in benchmark_tables.summary(found)


def test_empty_columns_are_left_out() -> None:
    alone = line(theirs=None, ratio=None, floor=None, holds=None, limit=None)
    assert benchmark_tables.table([alone]).splitlines() == [
        "| What | Ours |",
        "| --- | --- |",
        "| Tower | 1.23 s (1 to 2) |",
    ]
    beside = benchmark_tables.table([alone, line()]).splitlines()
    assert beside[0] == "| What | Ours | transformers | Ratio | Must hold (aim) | Of the limit |"
    assert beside[2] == "| Tower | 1.23 s (1 to 2) |  |  |  |  |"


def test_scores_of_nano(tmp_path: Path) -> None:
    task, (floor, _) = next(iter(EXAMS["exam"].aims.floors.items()))
    scores = {"score": floor - 0.01, "low": 0.1, "high": 0.9, "n": 200}
    text = tables.render_page(
        PAGE.format(block="exam"), {"exam": {"exam": "exam", "tasks": {task: scores}}}, "README.md"
    )
    assert f"| {task} |" in text
    assert f"Under their floor: {task}." in text


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (PAGE.format(block="towers"), "asks for the block towers"),
        ("<!-- benchmarks: tower -->\n", "needs its end mark"),
        ("<!-- benchmarks end -->\n", "needs its end mark"),
    ],
)
def test_bad_pages_are_refused(tmp_path: Path, results: Path, page: str, message: str, capsys: Any) -> None:
    (tmp_path / "README.md").write_text(page)
    assert run(tmp_path, results) == 1
    assert message in capsys.readouterr().err


def test_small_results_are_refused(tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "tower.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"small": True}))
    assert run(tmp_path, results) == 1
    assert "--small run" in capsys.readouterr().err


def test_pages_of_this_project_have_whole_blocks() -> None:
    for page in tables.PAGES:
        path = tables.ROOT / page
        tables.render_page(path.read_text(encoding="utf-8"), {}, page)


@pytest.mark.parametrize("exam", EXAMS)
def test_the_scores_shown_are_those_of_the_shipped_weights(exam: str) -> None:
    shown = json.loads((tables.RESULTS / f"{exam}.json").read_text())
    assert shown["weights"] == weights_digest("nano")
    assert shown["digest"] == sha256_of(EXAMS[exam].path)
