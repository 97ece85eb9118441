"""Arms of nano's recipe: stage, rate and tasks of each are those that it names."""

import pytest

from drawn_world.registry import ALL_TASKS
from experiments.nano_arms import ARMS, PLACES
from qwen2vl.recipes.nano import drawn_stages, mixture


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_the_stage_of_all_tasks_at_its_own_level_rate(name):
    (stage,), arm = ARMS[name].stages(), ARMS[name]
    recipe = drawn_stages()[1]
    assert stage.budgets == recipe.budgets and stage.packs_per_step == arm.packs_per_step
    assert stage.phases[0].mixtures == (arm.mixtures or (mixture(),))
    assert set(stage.sources) <= {*ALL_TASKS}
    assert stage.learning_rates(stage.steps - 1)["decoder"] == arm.rate


def test_arms_of_places_differ_in_how_tasks_share_steps():
    mixed, in_turn = ARMS["places_mixed"].mixtures, ARMS["places_in_turn"].mixtures
    assert [set(each) for each in mixed] == [set(PLACES)]
    assert [set(each) for each in in_turn] == [{task} for task in PLACES]
    assert sum(arm.question == "places" for arm in ARMS.values()) <= 6
