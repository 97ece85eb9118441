"""Initial values of a model trained from nothing, in one table [paper 2.8: normal(0, 0.02), zero biases].

parameter              value
norm weights           1
biases                 0
everything else        normal(0, initializer_range), from a generator seeded by the caller
"""

from dataclasses import replace

import torch
from torch import nn

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.layers import RMSNorm
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig


def new_model(config: Qwen2VLConfig, seed: int) -> Qwen2VL:
    """A float32 model on the CPU with initial weights that depend on config and seed only."""
    with torch.device("meta"):
        model = Qwen2VL(config)
    model.to_empty(device="cpu")
    model.tie()
    init_weights(model, seed)
    return model


@torch.no_grad()
def init_weights(model: Qwen2VL, seed: int) -> None:
    generator = torch.Generator(device=model.device).manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.LayerNorm, RMSNorm)):
            module.weight.fill_(1.0)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.normal_(0.0, model.config.initializer_range, generator=generator)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.zero_()


@torch.no_grad()
def with_more_ids(known: Qwen2VL, config: Qwen2VLConfig, seed: int) -> Qwen2VL:
    """A float32 model of `config` with the weights of one that differs in its vocabulary alone.

    Rows of ids that `known` lacks have initial values. Raises ConfigError when anything else differs.
    """
    text = replace(config.text, vocab_size=known.config.text.vocab_size)
    if replace(config, text=text, initializer_range=known.config.initializer_range) != known.config:
        raise ConfigError(
            "the checkpoint to begin with has other sizes than the model to train: only its vocabulary may differ"
        )
    if config.text.vocab_size < known.config.text.vocab_size:
        raise ConfigError(
            f"the checkpoint to begin with has {known.config.text.vocab_size} ids, more than the {config.text.vocab_size} "
            "of the model to train"
        )
    model = new_model(config, seed)
    old = dict(known.named_parameters())
    for name, parameter in model.named_parameters():
        parameter[: len(old[name])] = old[name].float()
    return model
