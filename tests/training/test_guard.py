"""The guard skips gross outliers of the gradient norm and figures that are not finite, and never a loss that is only large."""

import json
import math

import pytest

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.training.guard import FLOOR, MIN_STEPS, RECENT_STEPS, Fault, StepGuard

NAN = Fault("loss not finite", "the loss is nan")


def guard_after(norm: float, steps: int = MIN_STEPS) -> StepGuard:
    """A guard that has judged some steps of equal gradient norm."""
    guard = StepGuard(spike=10.0, max_skipped=0.02)
    assert [guard.judge(1.0, norm) for _ in range(steps)] == [None] * steps
    return guard


@pytest.mark.parametrize("norm", [5.0, 31.6, 55.5, FLOOR])
def test_a_rare_sample_is_no_spike_when_the_others_are_learnt(norm):
    """Loss and norms of a run on 190 equal records and 10 others; the norm of the equal ones was 1e-4."""
    guard = guard_after(1e-4, 500)
    assert guard.judge(5.0, norm) is None


def test_a_spike_is_over_the_floor_and_over_ten_times_the_scale():
    assert guard_after(1.0).judge(1.0, 1.01 * FLOOR).reason == "gradient norm too large"
    assert guard_after(50.0).judge(1.0, 450.0) is None
    fault = guard_after(50.0).judge(1.0, 501.0)
    assert fault.text == "the norm of the gradients is 501, over its limit 500"


def test_a_large_loss_alone_is_no_spike():
    assert guard_after(1.0).judge(1e9, 1.0) is None


def test_the_scale_fades_and_belongs_to_one_mixture():
    guard = guard_after(200.0)
    assert guard.judge(1.0, 1500.0, "a mixture that has just begun") is None
    assert guard.limit() == 2000.0
    for _ in range(69):
        guard.judge(1.0, 1.0)
    assert guard.limit() == pytest.approx(1000.0, rel=0.01)
    for _ in range(400):
        guard.judge(1.0, 1.0)
    assert guard.limit() == FLOOR


def test_the_scale_follows_gradients_that_stay_large():
    """A change of the data costs a few steps, not the rest of the run."""
    guard = guard_after(50.0)
    skipped = [guard.judge(1.0, 30_000.0) is not None for _ in range(20)]
    assert skipped == [True, True] + [False] * 18


@pytest.mark.parametrize(
    "loss, norm, reason",
    [
        (math.nan, 1.0, "loss not finite"),
        (math.inf, math.nan, "loss not finite"),
        (1.0, math.inf, "gradients not finite"),
    ],
)
def test_what_is_not_finite_is_skipped_from_the_first_step_on(loss, norm, reason):
    guard = StepGuard(10.0, 0.02)
    fault = guard.judge(loss, norm)
    assert (fault.reason, fault.is_finite, fault.is_of_the_data) == (reason, False, False)
    assert not guard.scales, "the scale stays a number"


def test_more_than_two_percent_of_the_last_steps_end_the_run():
    guard = guard_after(1.0)
    for step in (1, 60, 120, 180, 202, 261, 321):  # four at a time
        guard.note_skipped(step, NAN)
        guard.refuse_too_many(step, NAN, None, ["pairs:7"])
    spike = Fault("gradient norm too large", "the norm of the gradients is 900, over its limit 100")
    guard.note_skipped(330, spike)
    with pytest.raises(Qwen2VLError) as refusal:
        guard.refuse_too_many(330, spike, None, ["pairs:7", "text:3"])
    assert str(refusal.value) == (
        "step 330: 5 of the last 200 steps were skipped (gradient norm too large 1, loss not finite 4), over the limit of 2%; "
        "the last because the norm of the gradients is 900, over its limit 100; samples pairs:7, text:3: look at them with "
        "qwen2vl data show, or lower the learning rate"
    )


def test_steps_without_a_supervised_token_are_counted_and_do_not_end_the_run():
    guard = StepGuard(10.0, 0.02)
    for step in range(RECENT_STEPS):
        fault = guard.judge(0.0, 0.0, supervised=0)
        guard.note_skipped(step, fault)
        guard.refuse_too_many(step, fault, None, [])
    assert guard.summary == "200 steps skipped (nothing supervised 200), 0 of them trained on later"


def test_the_summary_counts_a_step_once():
    guard = StepGuard(10.0, 0.02)
    assert guard.summary == "no step skipped"
    guard.note_skipped(3, NAN)
    guard.note_skipped(9, NAN, is_repeat=True)
    assert guard.summary == "1 step skipped (loss not finite 1), 0 of them trained on later"


def test_the_state_survives_a_checkpoint():
    guard = guard_after(3.0)
    guard.note_skipped(3, NAN)
    guard.done_later = 1
    again = StepGuard(10.0, 0.02)
    again.restore(json.loads(json.dumps(guard.state())))
    assert vars(again) == vars(guard)
