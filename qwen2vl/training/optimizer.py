"""AdamW on float32 master weights, while the model itself may compute in bf16."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from qwen2vl.training.config import TrainConfig


class MasterOptimizer:
    """Keeps a float32 copy of every trained parameter: bf16 alone loses updates smaller than 1/256 of a weight.

    With a float32 model the copies are the parameters themselves and cost nothing.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model_parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters = {name: _master(p) for name, p in self.model_parameters.items()}
        decayed = [m for name, m in self.masters.items() if m.ndim == 2 and "embed_tokens" not in name]
        others = [m for name, m in self.masters.items() if m.ndim != 2 or "embed_tokens" in name]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
        self.clip_norm = config.clip_norm

    def gradients(self) -> list[Tensor]:
        """float32 gradients of the summed loss, moved from the model to the masters."""
        for master, parameter in self._pairs():
            assert parameter.grad is not None, "a trained parameter received no gradient"
            master.grad = parameter.grad.float()
            if master is not parameter:
                parameter.grad = None
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def step(self, rate: float, divisor: float) -> float:
        """Divide the gradients (the loss was a sum), clip, update, copy back; returns their norm before clipping."""
        for master in self.masters.values():
            assert master.grad is not None, "call gradients() before step()"
            master.grad /= divisor
        norm = nn.utils.clip_grad_norm_(self.masters.values(), self.clip_norm)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        with torch.no_grad():
            for master, parameter in self._pairs():
                master.grad = None
                if master is not parameter:
                    parameter.copy_(master)
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        return {"masters": self.masters, "adamw": self.adamw.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, (master, parameter) in zip(self.masters, self._pairs(), strict=True):
            master.copy_(state["masters"][name])
            parameter.copy_(master)
        self.adamw.load_state_dict(state["adamw"])

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.masters.values(), self.model_parameters.values(), strict=True)


def _master(parameter: nn.Parameter) -> Tensor:
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float().clone()
