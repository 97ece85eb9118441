"""First weights are a function of config and seed."""

import torch

from qwen2vl.model.init import new_model
from qwen2vl.spec.config import Qwen2VLConfig


def test_first_weights_depend_on_the_seed_only(tiny: Qwen2VLConfig) -> None:
    one, same, other = (dict(new_model(tiny, seed).named_parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_a_tied_head_stays_one_parameter_with_the_embedding(tied: Qwen2VLConfig) -> None:
    """This failed once: leaving the meta device separated the two, and nano trained an untied head."""
    model = new_model(tied, 0)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "lm_head.weight" not in dict(model.named_parameters())


def test_first_weights_have_the_values_of_the_table(tiny: Qwen2VLConfig) -> None:
    for name, value in new_model(tiny, 0).named_parameters():
        if name.endswith("bias"):
            assert value.abs().max() == 0, name
        elif "norm" in name or "ln_q" in name:
            assert (value == 1).all(), name
        else:
            assert 0.015 < value.std() < 0.025, name
