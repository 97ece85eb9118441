"""wide, whole and sharp: each begins with the weights of the run before it and ends with every task in its full form."""

from itertools import pairwise

import pytest
import torch

from drawn_world import FIRST_TASKS, LESSONS, TASKS
from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.init import new_model
from qwen2vl.recipes import load_recipe, sharp, whole, wide
from qwen2vl.recipes.nano import FIRST_NANO, nano_processor
from qwen2vl.recipes.wide import wide_processor
from qwen2vl.spec.config import NANO
from qwen2vl.training.run import initial_model

RECIPES = {"wide": wide, "whole": whole, "sharp": sharp}


@pytest.mark.parametrize("name", RECIPES)
def test_the_curriculum_covers_the_run_and_every_task_in_its_full_form(name):
    recipe, curriculum = RECIPES[name], RECIPES[name].CURRICULUM
    assert curriculum[-1].until == sum(stage.steps for stage in recipe.STAGES)
    tasks = {task for lessons in curriculum for mix in lessons.mixes for task in mix.weights}
    assert tasks <= {*TASKS, *LESSONS}
    assert {task for mix in curriculum[-1].mixes if mix.ease == 0 for task in mix.weights} >= set(TASKS)


@pytest.mark.parametrize(
    ("name", "begin"), [("wide", 200), ("whole", whole.DECAY_START + 1), ("sharp", sharp.DECAY_START + 1)]
)
def test_the_rate_falls_in_one_line(name, begin):
    recipe = RECIPES[name]
    rates = [stage.learning_rates(step)["decoder"] for stage in recipe.STAGES for step in range(stage.steps)]
    falls = [before - after for before, after in pairwise(rates[begin:])]
    assert falls == pytest.approx([falls[0]] * len(falls), rel=1e-3)
    assert rates[200 : begin - 1] == pytest.approx([recipe.RATE] * (begin - 201))
    assert rates[-1] == pytest.approx(falls[0], rel=1e-3)
    assert recipe.STAGES[-1].rates.tower == 0


def test_the_long_run_repeats_what_nano_learnt_before():
    """More than a third of every round is the first world in its full form."""
    for lessons in whole.CURRICULUM:
        repeated = sum(set(mix.weights) & set(FIRST_TASKS) != set() and mix.ease == 0 for mix in lessons.mixes)
        assert repeated > len(lessons.mixes) / 3


def test_all_train_one_model():
    """The weights that one writes are those that the next begins with."""
    specs = [load_recipe(name)() for name in RECIPES]
    assert all(spec.config == NANO for spec in specs)
    assert len({spec.processor.tokenizer.digest for spec in specs}) == 1


@pytest.mark.parametrize("name", ["nano", "wide", "whole", "sharp", "micro"])
def test_each_says_how_to_get_its_own_records(name):
    commands = load_recipe(name)().records.how_to_build
    records, store = f"runs/{name}-records", f"runs/{name}-store"
    assert f"data draw {records} --recipe {name}" in commands
    assert f"data build {records}/*.jsonl --out {store} --tokenizer {records}/tokenizer" in commands


def test_ids_of_the_first_world_stay():
    """Words of the first world keep their ids, so nano's weights mean the same; new names are one token."""
    old, new = nano_processor().tokenizer, wide_processor().tokenizer
    assert new.encode(" the red circle") == old.encode(" the red circle")
    assert new.size <= NANO.text.vocab_size
    assert [len(new.encode(word)) for word in (" giraffe", " umbrella", " receipt", " zebra")] == [1, 1, 1, 1]


def test_the_wider_world_begins_with_the_weights_of_nano(tmp_path):
    """The checkpoint of the recipe nano has fewer ids: new ones are added, all weights of the old ones are kept."""
    known = new_model(FIRST_NANO, 3)
    save_checkpoint(known, nano_processor(), tmp_path / "nano")
    model = initial_model(wide.wide(model=str(tmp_path / "nano")))
    assert model.config == NANO
    ids = FIRST_NANO.text.vocab_size
    assert len(model.model.embed_tokens.weight) > ids
    assert torch.equal(model.model.embed_tokens.weight[:ids], known.model.embed_tokens.weight)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, known.model.layers[0].mlp.up_proj.weight)
