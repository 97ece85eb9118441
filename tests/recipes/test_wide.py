"""nano in the wider world: begins with a trained nano, ends with every task in its full form."""

from itertools import pairwise

import pytest
import torch

from qwen2vl.model.checkpoint import load_model
from qwen2vl.nano.world import DENSE, TASKS
from qwen2vl.recipes import wide
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.recipes.wide import STAGES, WIDE, WideRecipe, wide_processor
from qwen2vl.recipes.wider import WIDER


def test_the_curriculum_covers_the_run_and_every_task_in_its_full_form():
    assert WIDER[-1].until == wide.END == sum(stage.steps for stage in STAGES)
    drawn = {task for lessons in WIDER for mix in lessons.mixes for task in mix.weights}
    assert drawn <= {*TASKS, *DENSE}
    assert {task for mix in WIDER[-1].mixes if mix.ease == 0 for task in mix.weights} >= set(TASKS)


def test_the_rate_falls_in_one_line():
    steps = [stage.learning_rates(step)["decoder"] for stage in STAGES for step in range(stage.steps)][200:]
    falls = [before - after for before, after in pairwise(steps)]
    assert falls == pytest.approx([wide.RATE / wide.END] * len(falls), rel=1e-3)
    assert STAGES[-1].rates.tower == 0


def test_ids_of_the_first_world_stay():
    """Words of the first world keep their ids, so nano's weights mean the same; new names are one token."""
    old, new = nano_processor().tokenizer, wide_processor().tokenizer
    assert new.encode(" the red circle") == old.encode(" the red circle")
    assert new.size <= WIDE.text.vocab_size
    assert [len(new.encode(word)) for word in (" giraffe", " umbrella", " receipt", " zebra")] == [1, 1, 1, 1]


def test_it_begins_with_nano():
    model = WideRecipe()._model()
    assert model.config == WIDE
    known = load_model("nano", device="cpu", dtype="fp32")
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, known.model.layers[0].mlp.up_proj.weight)
