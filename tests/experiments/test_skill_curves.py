"""Losses by task over the steps of a run."""

from experiments.skill_curves import curve


def test_losses_are_means_of_fifty_steps():
    lines = [
        {"step": step, "samples": 4, "text_tokens": 8, "visual_tokens": 2, "loss_by_source": {"a@1": float(step > 50)}}
        for step in range(1, 101)
    ]
    found = curve([*lines, {"step": 100, "validation_loss": 1.0}], until=75)
    assert found["losses"] == {"50": {"a@1": 0.0}, "100": {"a@1": 1.0}}
    assert (found["tokens_per_step"], found["conversations_per_step"]) == (10, 4)
