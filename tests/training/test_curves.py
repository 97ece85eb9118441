"""The curves of a run: which panels there are and what they show, from one step to ten thousand."""

import math
from pathlib import Path

import pytest
from PIL import Image

from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.training.curves import MOST_TASKS, Curves, draw_curves, running_mean
from qwen2vl.training.run_directory import read_metrics

from .conftest import WITH_HELD_OUT, trainer_of


def line_of(step: int, stage: str = "one", sources: tuple[str, ...] = ("pages", "videos"), **more: object) -> dict:
    return {
        "step": step,
        "steps": 300,
        "stage": stage,
        "loss": 10 / step,
        "loss_by_source": dict.fromkeys(sources, 1.0),
        "loss_by_kind": {"ocr": 2.0, "video": 1.0},
        "learning_rate": {"tower": 1e-3, "decoder": 1e-3},
        "gradient_norm_by_part": {"tower": 0.5, "decoder": 2.0},
        "supervised_tokens_per_s": 100.0,
        "mfu_with_tower": 0.4,
        "fill_tokens": 0.9,
        "step_s": 2.0,
        "data_wait_s": 0.5,
    } | more


def panels_of(lines: list[dict]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Label of the axes to label of a line to its steps and values; lines without a label are left out."""
    found = {}
    for axes in Curves(lines).figure().axes:
        named = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
        found[axes.get_ylabel()] = {
            line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in named
        }
    return found


def test_the_panels_show_all_that_was_logged():
    lines = [line_of(step) for step in range(1, 6)]
    lines.append({"step": 5, "validation_loss": 0.5, "exact": {"count": 0.4, "order": 0.6}})
    steps = [1, 2, 3, 4, 5]
    panels = panels_of(lines)
    assert panels["loss per supervised token"] == {
        "training": (steps, [10 / step for step in steps]),
        "held out": ([5], [0.5]),
    }
    assert panels["loss by source"] == {"pages": (steps, [1.0] * 5), "videos": (steps, [1.0] * 5)}
    assert panels["learning rate"] == {"decoder": (steps, [1e-3] * 5), "tower": (steps, [1e-3] * 5)}
    assert panels["supervised tokens a second"] == {"tokens a second": (steps, [100.0] * 5)}
    assert panels["share"]["waiting for data"] == (steps, [0.25] * 5)
    assert {name: values[0] for name, (_, values) in panels["share"].items()} == {
        "waiting for data": 0.25, "MFU with tower": 0.4, "packs filled": 0.9,
    }  # fmt: skip
    assert panels["answers exactly right, held out"] == {"count": ([5], [0.4]), "order": ([5], [0.6])}


def test_many_tasks_are_rows():
    """Colours distinguish twenty lines; more tasks are rows, one below the other, each with its last value."""
    tasks = [f"task{number}" for number in range(MOST_TASKS + 1)]
    scores = ({name: number / 40 for number, name in enumerate(tasks)}, dict.fromkeys(tasks, 0.5))
    lines = [line_of(1), *({"step": step, "exact": shares} for step, shares in zip((10, 30), scores, strict=True))]
    (axes,) = [axes for axes in Curves(lines).figure().axes if axes.get_title() == "answers exactly right, held out"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{name} 50%" for name in tasks]
    assert [list(row.get_array().ravel()) for row in axes.collections] == [
        [before, 0.5] for before in scores[0].values()
    ]
    assert "answers exactly right, held out" in panels_of(
        [line_of(1), {"step": 1, "exact": dict.fromkeys(tasks[1:], 0.5)}]
    )


def test_panels_without_figures_are_left_out():
    assert set(panels_of([{"step": 1, "loss": 2.0}])) == {"loss per supervised token"}
    assert "answers exactly right, held out" not in panels_of([line_of(1), {"step": 1, "validation_loss": 1.0}])


def test_a_held_out_loss_needs_no_exact_answers():
    panels = panels_of([line_of(1), {"step": 1, "validation_loss": 3.0}])
    assert panels["loss per supervised token"]["held out"] == ([1], [3.0])


def test_the_loss_of_many_sources_is_shown_by_kind():
    names = tuple(f"task@{number}" for number in range(11))
    assert set(panels_of([line_of(1, sources=names)])["loss by kind"]) == {"ocr", "video"}
    lines = [line_of(step, sources=names[step:], loss_by_kind={"ocr": 1.0}) for step in range(1, 5)]
    shown = panels_of([*lines, line_of(5, sources=names[:1], loss_by_kind={})])["loss by source"]
    assert list(shown) == [*names[4:], names[3], names[2], names[1]]


def test_stages_are_marked_where_they_begin():
    stages = ["1-tower"] * 4 + ["2-all"] * 5 + ["3-talk"]
    figure = Curves([line_of(step, stage) for step, stage in enumerate(stages, 1)]).figure()
    losses, *others = figure.axes
    assert [(text.get_text(), text.xy[0]) for text in losses.texts] == [("1-tower", 1), ("2-all", 5), ("3-talk", 10)]
    for axes in [losses, others[0]]:
        dashed = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert dashed == [5, 10]
    assert not Curves([line_of(1), line_of(2)]).figure().axes[0].texts


def test_long_runs_are_averaged(tmp_path):
    lines = [line_of(step, loss=2.0 if step % 2 else 4.0) for step in range(1, 10_001)]
    steps, losses = panels_of(lines)["loss per supervised token"]["training, mean of 100 steps"]
    assert (steps[0], steps[-1]) == (100, 10_000)
    assert set(losses) == {3.0}
    assert len(steps) < 500
    draw_curves(lines, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(10**6)) > 50


def test_the_mean_ends_at_the_last_step():
    steps, means = running_mean((list(range(1, 301)), [1.0] * 200 + [3.0] * 100))
    assert (steps[-1], means[0], means[-1]) == (300, 1.0, 3.0)
    assert 30 <= steps[0] < 37
    assert running_mean(([7], [2.0])) == ([7], [2.0])
    assert running_mean(([], [])) == ([], [])


def test_values_that_are_no_finite_numbers_are_left_out():
    lines = [{"step": 1, "loss": math.nan}, {"step": 2, "loss": 2.0}, {"step": 3}, {"step": 4, "loss": math.inf}]
    assert Curves(lines).series("loss") == ([2], [2.0])
    rates = [{"step": 1, "rate": 0.1}, {"step": 2, "rate": {"tower": 0.2}}]
    assert Curves(rates).members("rate") == {"tower": ([2], [0.2])}


def test_the_loop_logs_what_the_panels_show(tmp_path: Path, store, small_model):
    trainer_of(tmp_path, store, small_model(), events=WITH_HELD_OUT).train(3)
    panels = panels_of(read_metrics(tmp_path / "metrics.jsonl"))
    assert len(panels) == 7
    assert all(panels[name] for name in panels if "dotted" not in name)
    assert panels["answers exactly right, held out"]["count"] == ([3], [0.5])


def test_errors_are_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="no step yet"):
        draw_curves([], tmp_path / "curves.png")
    with pytest.raises(Qwen2VLError, match="cannot be written"):
        draw_curves([line_of(1)], tmp_path / "nowhere" / "curves.png")
