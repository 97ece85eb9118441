"""The guard skips spikes, and its state survives a checkpoint."""

import json

from qwen2vl.training.guard import StepGuard


def test_a_spike_is_skipped():
    guard = StepGuard(spike=3.0, max_skipped=5)
    assert [guard.judge(loss, 1.0) for loss in [2.0] * 30] == [None] * 30
    assert "over 3 times the median 2.000" in guard.judge(7.0, 1.0)
    assert guard.judge(5.0, 1.0) is None
    assert guard.judge(99.0, 1.0, "a mixture that has just begun") is None
    again = StepGuard(3.0, 5)
    again.restore(json.loads(json.dumps(guard.state())))
    assert again.state() == guard.state()
