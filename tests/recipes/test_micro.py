"""micro: the curricula of nano in their order, in fewer and larger steps."""

import pytest
import torch

from drawn_world import LESSONS, TASKS
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.recipes import drawn_items, micro, nano, whole, wide
from qwen2vl.recipes.curriculum import Lessons, join_curricula

from .test_nano import needs_fonts


def test_its_size_is_between_sixty_and_eighty_million():
    with torch.device("meta"):
        assert 60e6 < sum(parameter.numel() for parameter in Qwen2VL(micro.MICRO).parameters()) < 80e6


def test_curricula_are_joined_one_after_the_other():
    first, second = (Lessons(10, ()), Lessons(30, ())), (Lessons(5, ()),)
    assert [lessons.until for lessons in join_curricula(first, second, share=0.5)] == [5, 15, 17]


def test_lessons_are_those_of_nano_in_order():
    at_length = map(micro.with_new_tasks, whole.CURRICULUM)
    mixes = [lessons.mixes for lessons in (*nano.CURRICULUM, *wide.CURRICULUM[:-1], *at_length)]
    assert [lessons.mixes for lessons in micro.CURRICULUM] == mixes
    ends = [lessons.until for lessons in micro.CURRICULUM]
    assert ends == sorted(ends)
    assert ends[-1] == sum(stage.steps for stage in micro.STAGES)
    assert micro.STAGES[0].steps == pytest.approx(2 / 3 * nano.STAGES[0].steps, abs=1)
    tasks = {task for lessons in micro.CURRICULUM for mix in lessons.mixes for task in mix.weights}
    assert {*TASKS, "overlap", "glyph_know", "glyph_article"} <= tasks <= {*TASKS, *LESSONS}


def test_the_rate_is_one_line_over_the_borders_of_stages():
    rates = [stage.learning_rates(step)["decoder"] for stage in micro.STAGES for step in range(stage.steps)]
    falls = [rates[step] - rates[step + 1] for step in range(micro.DECAY_START + 1, micro.END - 1)]
    assert falls == pytest.approx([falls[0]] * len(falls), rel=1e-2)
    assert rates[200 : micro.DECAY_START] == pytest.approx([micro.RATE] * (micro.DECAY_START - 200))
    assert micro.STAGES[-1].rates.tower == 0


@needs_fonts
def test_larger_steps_need_more_records():
    """A step reads as many packs as its stage says, not as a stage of nano."""
    (short,) = [stage for stage in micro.STAGES if stage.name == "1-skills"]
    processor = wide.wide_processor(micro.MICRO)
    (one, other) = (drawn_items.mean_tokens(source, processor) for source in ("shape_rows@1", "shape_rows@0.8"))
    needed = drawn_items.count_records([short], processor)
    assert needed.keys() == set(short.sources)
    steps = drawn_items.steps_by_mixture(short)
    tokens = 4 * 4096
    assert needed["shape_rows@1"] == pytest.approx(steps[(("shape_rows@1", 1),)] * tokens / one, rel=1e-3)
    assert needed["shape_rows@0.8"] == pytest.approx(steps[(("shape_rows@0.8", 1),)] * tokens / other, rel=1e-3)
