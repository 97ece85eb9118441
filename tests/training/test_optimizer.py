"""The optimizer equals torch's AdamW on the mean loss, and adds the gradients of rows in float32."""

import torch

from qwen2vl.spec.inputs import pack
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.parts import set_trained

from .conftest import ALL, CONFIG, SMALL, model_of

RATES = {"tower": 1e-3, "merger": 1e-3, "decoder": 1e-3}


def test_two_steps_equal_adamw_on_the_mean_loss(samples, small_model):
    """Matrices decay, embeddings and vectors do not; gradients are clipped after the division by the tokens."""
    ours, reference = small_model(), small_model()
    set_trained(ours, ALL)
    optimizer = MasterOptimizer(ours, CONFIG)
    decayed = {name: p.ndim == 2 and "embed_tokens" not in name for name, p in reference.named_parameters()}
    groups = [
        {"params": [p for name, p in reference.named_parameters() if decayed[name] == decay], "weight_decay": weight}
        for decay, weight in ((True, CONFIG.weight_decay), (False, 0.0))
    ]
    adamw = torch.optim.AdamW(groups, lr=1e-3, betas=CONFIG.betas)
    for row in (pack(samples[:3]), pack(samples[3:])):
        loss = token_loss(ours, row)
        loss.total.backward()
        optimizer.collect()
        optimizer.step(RATES, divisor=loss.count)
        mean = token_loss(reference, row)
        (mean.total / mean.count).backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), CONFIG.clip_norm)
        adamw.step()
        adamw.zero_grad()
    for (name, weight), expected in zip(ours.named_parameters(), reference.parameters(), strict=True):
        far = (weight - expected).abs() > 2e-5  # a gradient near AdamW's epsilon turns rounding into a part of a step
        assert far.float().mean() < 1e-4, name


def test_gradients_of_rows_are_added_in_float32(samples):
    model = model_of(SMALL, "bf16", ALL, "none")
    optimizer = MasterOptimizer(model, CONFIG)
    expected = {name: torch.zeros_like(master) for name, master in optimizer.masters.items()}
    for row in samples[:2]:
        token_loss(model, row).total.backward()
        for name, parameter in model.named_parameters():
            expected[name] += parameter.grad.float()
        optimizer.collect()
        assert all(parameter.grad is None for parameter in model.parameters())
    for name, gradient in optimizer.gradients().items():
        assert gradient.dtype == torch.float32
        assert torch.equal(gradient, expected[name]), name
