"""Charts: answers follow from the descriptions, pixels agree with the descriptions, and splits share no looks."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from drawn_world import SPLITS, palette, wording, words
from drawn_world.charts import chart_data, chart_drawing, chart_looks
from drawn_world.charts import chart_tasks as charts
from drawn_world.charts.chart_drawing import DrawnChart
from drawn_world.transfer import plotted_charts as transfer
from qwen2vl.common.errors import Qwen2VLError

from .checks import (
    are_apart,
    asked,
    check_read_words,
    check_repeatable,
    check_wordings,
    digest_of,
    drawn,
    every_split,
    image_of,
    makers_of,
    needs_text,
    taught_words,
    turns_of,
)

ALL = makers_of(charts)
make = partial(drawn, ALL)
pytestmark = needs_text


def drawn_chart(
    seed: int, kind: str, written: bool | None = False, split: str = "train", ease: float = 0.0, plain: bool = False
):
    """A chart without noise. plain: without a grid, title and panel too."""
    rng = Random(f"{split}/{kind}/{seed}")
    chart = chart_data.make_chart(rng, split, ease, kind, written=written)
    look = chart_looks.pick_look(rng, split, ease, chart)
    if plain:
        chart, look = (
            replace(chart, title=""),
            replace(look, grid="none", panel=look.ground, stroke=max(5, look.stroke)),
        )
    return chart_drawing.draw_chart(*chart_drawing.fitted(chart, look))


def derived_answer(question: str, scene: dict) -> str:
    """The answer to a question, derived only from its wording and the description."""
    key, parts = asked(wording.FILES["charts"]["questions"], question)
    labels, values, kind = scene["labels"], scene["values"], scene["kind"]
    at = dict(zip(labels, values, strict=True))
    ranked = sorted(labels, key=at.__getitem__)
    a, b = (at.get(parts.get(name)) for name in "ab")
    things = "shares" if kind == "pie" else "values"
    answers: dict[str, Callable[[], object]] = {
        "chart_value": lambda: at[parts["label"]],
        "chart_percent": lambda: at[parts["label"]],
        "chart_largest": lambda: ranked[-1],
        "chart_second": lambda: ranked[-2],
        "chart_smallest": lambda: ranked[0],
        "chart_larger": lambda: "yes" if a > b else "no",
        "chart_difference": lambda: a - b,
        "chart_sum": lambda: a + b,
        "chart_which": lambda: labels[values.index(int(parts["value"]))],
        "chart_trend": lambda: _trend(values),
        "chart_first": lambda: labels[0],
        "chart_last": lambda: labels[-1],
        "chart_labels": lambda: "\n".join(labels),
        "chart_table": lambda: "\n".join(f"{label}: {value}" for label, value in at.items()),
        "chart_count": lambda: len(labels),
        "chart_top": lambda: scene["top"],
        "chart_step": lambda: scene["step"],
        "chart_title": lambda: scene["title"],
        "chart_kind": lambda: f"{kind} chart",
        "chart_colour": lambda: _colour(scene["colours"][labels.index(parts["label"])]),
        "chart_describe": lambda: (
            f"A {kind} chart of {len(labels)} {things}: the largest is {ranked[-1]} and the smallest is {ranked[0]}."
        ),
    }
    return str(answers[key]())


def _trend(values: list[int]) -> str:
    ups = [b > a for a, b in pairwise(values)]
    turns = [up for index, up in enumerate(ups) if index == 0 or ups[index - 1] != up]
    return ", then ".join("rises" if up else "falls" for up in turns)


def _colour(rgb: list[int]) -> str:
    """The nearest named colour."""
    names = chart_data.COLOUR_NAMES
    return min(names, key=lambda name: palette.distance(palette.COLOURS[name], tuple(rgb)))


@pytest.mark.parametrize("task", ALL)
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    taught = taught_words()
    for seed in range(80):
        item = make(task, seed, split, (0.0, 0.0, 0.3, 0.6, 1.0)[seed % 5])
        scene = json.loads(json.dumps(item.truth))["scene"]
        if "" in scene["labels"]:
            assert item.answer == " ".join(map(str, scene["values"]))
            continue
        for question, answer in turns_of(item):
            assert answer == derived_answer(question, scene), (question, scene)
            used = {word for word in re.findall("[A-Za-z]+", f"{question} {answer}") if len(word) > 1}
            assert used <= taught | set(item.truth.get("read", ())), used - taught
        if item.truth["kind"] == "number":
            assert float(item.answer) == item.truth["value"] and item.truth["tolerance"] == 0.05
        else:
            assert item.answer in item.truth["accept"]


def _measured(drawn: DrawnChart) -> list[float]:
    """Values measured at bars and points."""
    x1, y1, x2, y2 = drawn.plot
    if drawn.chart.kind == "line":
        return [(y2 - (mark[1] + mark[3]) // 2) * drawn.end / (y2 - y1) for mark in drawn.marks]
    if drawn.look.horizontal:
        return [(mark[2] - x1) * drawn.end / (x2 - x1) for mark in drawn.marks]
    return [(y2 - mark[1]) * drawn.end / (y2 - y1) for mark in drawn.marks]


@pytest.mark.parametrize("kind", ["bar", "line"])
def test_values_can_be_measured_within_tolerance(kind: str) -> None:
    for seed in range(200):
        drawn = drawn_chart(seed, kind)
        unit = chart_data.unit_of(drawn.chart.top)
        in_units = all(value % unit == 0 for value in drawn.chart.values)
        for measured, value in zip(_measured(drawn), drawn.chart.values, strict=True):
            counted = in_units and round(measured / unit) * unit == value
            assert counted or abs(measured - value) <= 0.05 * value, (seed, measured, value)


@every_split
def test_the_plot_has_the_colours_of_bars_only_inside_their_boxes(split: str) -> None:
    for seed in range(80):
        drawn = drawn_chart(seed, "bar", False, split)
        pixels, (x1, y1, x2, y2) = np.asarray(drawn.image), drawn.plot
        covered = np.zeros(pixels.shape[:2], dtype=bool)
        for (left, top, right, bottom), colour in zip(drawn.marks, drawn.look.colours, strict=True):
            assert x1 <= left < right <= x2 and y1 <= top < bottom <= y2
            edge = drawn.look.outline is not None
            assert (pixels[top + edge : bottom - edge, left + edge : right - edge] == colour).all()
            covered[top:bottom, left:right] = True
        free = pixels[y1:y2, x1:x2][~covered[y1:y2, x1:x2]]
        assert not any((free == colour).all(axis=1).any() for colour in drawn.look.colours)


@every_split
def test_marks_are_on_the_line(split: str) -> None:
    for seed in range(60):
        drawn = drawn_chart(seed, "line", False, split, plain=True)
        colour, (x1, _, x2, y2) = np.array(drawn.look.colours[0]), drawn.plot
        near = (np.abs(np.asarray(drawn.image).astype(int) - colour).sum(axis=2) < 40)[: y2 - 3]
        near[:, :x1] = near[:, x2:] = False
        ys, xs = np.nonzero(near)
        lefts, tops, rights, bottoms = zip(*drawn.marks, strict=True)
        assert min(lefts) <= xs.min() and xs.max() < max(rights)
        assert min(tops) <= ys.min() <= min(tops) + 4 and ys.max() < max(bottoms)
        for left, top, right, bottom in drawn.marks:
            if bottom < near.shape[0]:
                assert near[top:bottom, left:right].sum() > (0 if drawn.look.mark == "point" else 6)


@every_split
def test_the_areas_of_slices_are_their_percentages(split: str) -> None:
    for seed in range(40):
        drawn = drawn_chart(seed, "pie", False, split)
        x1, y1, x2, y2 = drawn.plot
        pixels = np.asarray(drawn.image)[y1:y2, x1:x2].reshape(-1, 3)
        counts = [(pixels == colour).all(axis=1).sum() for colour in drawn.look.colours]
        for count, value in zip(counts, drawn.chart.values, strict=True):
            assert abs(100 * count / sum(counts) - value) < 1.5


@every_split
@pytest.mark.parametrize("kind", ["bar", "line", "pie"])
def test_texts_are_inside_the_image_and_do_not_overlap(kind: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: dict[str, list] = {}
    original = chart_drawing.Canvas.put

    def put(canvas, text, *rest):
        box = original(canvas, text, *rest)
        boxes.setdefault("labels" if text in look_labels else "numbers", []).append(box)
        return box

    monkeypatch.setattr(chart_drawing.Canvas, "put", put)
    for seed in range(100):
        rng = Random(f"{split}/{kind}/{seed}")
        chart = chart_data.make_chart(rng, split, 0.0, kind)
        look_labels = set(chart.labels)
        boxes.clear()
        drawn = chart_drawing.draw_chart(*chart_drawing.fitted(chart, chart_looks.pick_look(rng, split, 0.0, chart)))
        width, height = drawn.image.size
        for x1, y1, x2, y2 in [box for group in boxes.values() for box in group]:  # a line has room for accents
            assert x1 >= -1 and y1 >= -4 and x2 <= width + 1 and y2 <= height + 4, (seed, x1, y1, x2, y2)
        assert are_apart(boxes["labels"], -2), seed


def test_each_of_the_easiest_bars_is_in_one_column_of_tokens() -> None:
    for seed in range(40):
        scene = make("bar_levels", seed, "train", 1.0).truth["scene"]
        assert scene["plot_px"] == list(chart_drawing.EASY_PLOT) and len(scene["marks_px"]) == 4
        for column, (mark, value) in enumerate(zip(scene["marks_px"], scene["values"], strict=True), 1):
            assert column * 28 <= mark[0] and mark[2] <= (column + 1) * 28
            assert mark[3] - mark[1] == 14 * value and 1 <= value <= 9


@pytest.mark.parametrize("task", ALL)
def test_images_have_sizes_within_limits_and_the_easiest_have_one(task: str) -> None:
    for seed in range(100):
        ease = seed / 99
        size = image_of(make(task, seed, "train", ease)).size
        assert min(size) >= 112 and max(size) <= chart_looks.MAX_CHART_SIDE
        assert size == (140, 168) or ease < 1
    assert {image_of(make(task, seed, "train", 1.0)).size for seed in range(30)} == {(140, 168)}


def test_dialogues_have_four_to_six_turns() -> None:
    assert {len(turns_of(make("chart_dialogue", seed))) for seed in range(60)} <= {4, 5, 6}


def test_answers_are_balanced() -> None:
    trends = [make("chart_trend", seed).answer for seed in range(300)]
    shares = [trends.count(trend) / len(trends) for trend in chart_data.TRENDS]
    assert max(shares) - min(shares) < 0.12
    compared = [make("chart_compare", seed).answer for seed in range(300)]
    assert 0.7 < compared.count("yes") / compared.count("no") < 1.43
    kinds = [make("chart_value", seed).truth["scene"]["kind"] for seed in range(300)]
    assert min(map(kinds.count, ("bar", "line", "pie"))) > 40


def digest() -> str:
    return digest_of(make(task, seed, "val", seed / 2) for task in ALL for seed in range(2))


def test_same_seed_same_pixels_in_another_process() -> None:
    check_repeatable(digest)


def test_looks_and_wordings_belong_to_one_split() -> None:
    for table in chart_looks.PARTS.values():
        assert sum(len(table[split]) for split in SPLITS) == len({each for split in SPLITS for each in table[split]})
    for rgb in (chart_looks.GROUNDS, chart_looks.SERIES):
        assert len({colour for split in SPLITS for row in rgb[split] for colour in row}) == sum(
            len({colour for row in rgb[split] for colour in row}) for split in SPLITS
        )
    questions = wording.FILES["charts"]["questions"]
    for task in ALL:
        for split in SPLITS:
            check_wordings((make(task, seed, split) for seed in range(20)), questions, split)


def test_training_never_uses_colours_of_other_splits() -> None:
    """Half of its colours are free, so this is not a matter of tables alone."""
    for seed in range(300):
        look = drawn_chart(seed, ("bar", "line", "pie")[seed % 3]).look
        for colour in {*look.colours, look.ground} - set(palette.COLOURS.values()):
            assert colour not in chart_looks.OF_OTHERS


def test_the_wording_of_one_question_does_not_answer_another() -> None:
    """A value that a question names is asked of no one, and marks are not named before the kind of chart is asked."""
    questions = wording.FILES["charts"]["questions"]
    found = set()
    for seed in range(200):
        item = make("chart_dialogue", seed, "train", seed % 3 / 2)
        keys = [asked(questions, question)[0] for question, _ in turns_of(item)]
        valued = [parts["label"] for key, parts in (asked(questions, q) for q, _ in turns_of(item)) if "label" in parts]
        found |= {*keys}
        for key, (_, answer) in zip(keys, turns_of(item), strict=True):
            assert key != "chart_which" or answer not in valued
            assert key not in ("chart_kind", "chart_describe") or keys[0] == key
    assert found == {*questions} - {"chart_table", "bar_levels"}


@every_split
def test_words_to_read_belong_to_their_split(split: str) -> None:
    check_read_words((make("chart_table", seed, split) for seed in range(200)), split)
    assert all(words.split_of(word) == "train" for word in (*wording.LABELS["fruit"], *wording.LABELS["grocery"]))


def test_categories_without_room_are_left_out() -> None:
    rng = Random(0)
    chart = chart_data.Chart(
        kind="line",
        labels=("mmmmm", "wwwww", "mwmwm", "wmwmw", "mmwww", "wwmmm"),
        values=(1,) * 6,
        top=10,
        written=False,
    )
    fitted, look = chart_drawing.fitted(chart, chart_looks.pick_look(rng, "train", 0.0, chart))
    assert (
        2 <= len(fitted.labels) == len(fitted.values) == len(look.colours) < 6
        and look.size[0] == chart_looks.MAX_CHART_SIDE
    )
    pie = replace(chart, kind="pie", values=(10, 20, 30, 10, 10, 20), top=100).without_last()
    assert sum(pie.values) == 100 and len(pie.labels) == 5


def test_answers_about_charts_of_matplotlib_follow_from_the_description() -> None:
    pytest.importorskip("matplotlib")
    for seed in range(3):
        one, again = (transfer.chart_value(Random(seed)) for _ in range(2))
        assert one.answer == again.answer and image_of(one).tobytes() == image_of(again).tobytes()
        assert one.task == "transfer_chart" and one.truth["kind"] == "number"
        ((question, answer),) = turns_of(one)
        assert answer == derived_answer(question, one.truth["scene"]) and float(answer) == one.truth["value"]
        assert question.startswith(("What value does the chart give for", "What percent of the chart is"))
        assert image_of(one).mode == "RGB" and max(image_of(one).size) <= 196
        assert len(image_of(one).getcolors(10_000)) > 8


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Qwen2VLError, match=r"qwen2vl\[plot\]"):
        transfer.chart_value(Random(0))
