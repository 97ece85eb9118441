"""First weights of a model that is trained from scratch [paper 2.8: normal(0, 0.02), zero biases].

parameter          value
norm weights       1
biases             0
everything else    normal(0, initializer_range), from a generator with the given seed
"""

import torch
from torch import nn

from qwen2vl.model.language import RMSNorm
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig


@torch.no_grad()
def new_model(config: Qwen2VLConfig, seed: int) -> Qwen2VL:
    """A float32 model on the CPU whose weights depend on config and seed only."""
    with torch.device("meta"):
        model = Qwen2VL(config)
    model.to_empty(device="cpu")
    model.tie()
    generator = torch.Generator(device=model.device).manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.LayerNorm, RMSNorm)):
            module.weight.fill_(1.0)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.normal_(0.0, config.initializer_range, generator=generator)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.zero_()
    return model
