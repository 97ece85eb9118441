"""micro: nano's lessons in nano's order, in fewer and larger steps."""

import pytest
import torch

from drawn_world import LESSONS, TASKS
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.recipes import drawn, micro, nano
from qwen2vl.recipes.curriculum import CURRICULUM, Lessons, in_a_row
from qwen2vl.recipes.whole import WHOLE
from qwen2vl.recipes.wide import wide_processor
from qwen2vl.recipes.wider import WIDER

from .test_nano import needs_fonts


def test_its_size_is_between_sixty_and_eighty_million():
    with torch.device("meta"):
        assert 60e6 < sum(parameter.numel() for parameter in Qwen2VL(micro.MICRO).parameters()) < 80e6


def test_curricula_in_a_row():
    first, second = (Lessons(10, ()), Lessons(30, ())), (Lessons(5, ()),)
    assert [lessons.until for lessons in in_a_row(first, second, share=0.5)] == [5, 15, 17]


def test_lessons_are_nanos_in_order():
    mixes = [lessons.mixes for lessons in (*CURRICULUM, *WIDER[:-1], *map(micro.with_later_lessons, WHOLE))]
    assert [lessons.mixes for lessons in micro.LESSONS] == mixes
    ends = [lessons.until for lessons in micro.LESSONS]
    assert ends == sorted(ends)
    assert ends[-1] == sum(stage.steps for stage in micro.STAGES)
    assert micro.STAGES[0].steps == pytest.approx(nano.STAGES[0].steps * 2 * micro.SHARE, abs=1)
    drawn = {task for lessons in micro.LESSONS for mix in lessons.mixes for task in mix.weights}
    assert {*TASKS, "overlap", "glyph_know", "glyph_article"} <= drawn <= {*TASKS, *LESSONS}


def test_the_rate_is_one_line_over_the_borders_of_stages():
    rates = [stage.learning_rates(step)["decoder"] for stage in micro.STAGES for step in range(stage.steps)]
    falls = [rates[step] - rates[step + 1] for step in range(micro.FALLS + 1, micro.END - 1)]
    assert falls == pytest.approx([falls[0]] * len(falls), rel=1e-2)
    assert rates[200 : micro.FALLS] == pytest.approx([micro.RATE] * (micro.FALLS - 200))
    assert micro.STAGES[-1].rates.tower == 0


@needs_fonts
def test_larger_steps_need_more_records():
    """A step reads its own stage's packs, not nano's."""
    (short,) = [stage for stage in micro.STAGES if stage.name == "1-skills"]
    processor = wide_processor(micro.MICRO)
    (one, other) = (drawn.tokens_of(source, processor) for source in ("shape_rows@1", "shape_rows@0.8"))
    needed = drawn.sources_needed([short], processor)
    assert needed.keys() == set(short.sources)
    steps = dict(drawn.steps_by_mixture(short))
    tokens = 4 * 4096
    assert needed["shape_rows@1"] == pytest.approx(steps[(("shape_rows@1", 1),)] * tokens / one, rel=1e-3)
    assert needed["shape_rows@0.8"] == pytest.approx(steps[(("shape_rows@0.8", 1),)] * tokens / other, rel=1e-3)
