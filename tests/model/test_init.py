"""First weights are a function of config and seed; a larger vocabulary keeps the trained ones."""

from dataclasses import replace

import pytest
import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.init import new_model, with_more_ids
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


def test_a_larger_vocabulary_keeps_the_trained_weights(tied: Qwen2VLConfig) -> None:
    trained, wider = new_model(tied, 1), replace(tied, text=replace(tied.text, vocab_size=tied.text.vocab_size + 64))
    grown = with_more_ids(trained, wider, seed=2)
    for name, parameter in grown.named_parameters():
        old = trained.get_parameter(name)
        assert torch.equal(parameter[: len(old)], old), name
    fresh = new_model(wider, 2).lm_head.weight
    assert torch.equal(grown.lm_head.weight[tied.text.vocab_size :], fresh[tied.text.vocab_size :])
    with pytest.raises(ConfigError, match="more than"):
        with_more_ids(grown, tied, seed=0)
    other = replace(tied, text=replace(tied.text, num_hidden_layers=tied.text.num_hidden_layers + 1))
    with pytest.raises(ConfigError, match="other sizes"):
        with_more_ids(trained, other, seed=0)
