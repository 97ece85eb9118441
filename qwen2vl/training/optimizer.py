"""AdamW on float32 master weights, while the model itself may compute in bf16; one learning rate for each part.

The order of calls in a step: `collect` after each backward pass, `reduce` over the processes, `norms`, then `step` or `clear`.
How gradients and optimizer states are divided among processes is decided here alone; the loop only makes these calls.
"""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from qwen2vl.distributed.replicas import Replicas
from qwen2vl.training.parts import part_of, trained_parameters
from qwen2vl.training.train_config import Part, TrainConfig


class MasterOptimizer:
    """AdamW over a float32 copy of every trained parameter: bf16 alone loses updates smaller than 1/256 of a weight.

    With a float32 model the copies are the parameters themselves and need no memory. Gradients are sums over tokens until
    `step` divides them.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, previous: "MasterOptimizer | None" = None) -> None:
        """previous: optimizer of the stage before; parameters that it trained keep their masters and moments."""
        self.model_parameters = dict(trained_parameters(model))
        self.part_of = {name: part_of(name) for name in self.model_parameters}
        self.clip_norm = config.clip_norm
        kept: dict[str, Tensor] = previous.masters if previous else {}
        self.masters: dict[str, Tensor] = {
            name: kept[name] if name in kept else _master(parameter)
            for name, parameter in self.model_parameters.items()
        }
        groups: dict[tuple[Part, bool], list[Tensor]] = {}
        for name, master in self.masters.items():
            decayed = master.ndim == 2 and "embed_tokens" not in name
            groups.setdefault((self.part_of[name], decayed), []).append(master)
        self.adamw = torch.optim.AdamW(
            [
                {"params": masters, "weight_decay": config.weight_decay * decayed, "part": part}
                for (part, decayed), masters in groups.items()
            ],
            lr=0.0,
            betas=config.betas,
            fused=True,
        )
        moments = previous.moments if previous else {}
        for name, master in self.masters.items():
            self.adamw.state[master] = moments[name] if name in moments else _zero_moments(master)

    @property
    def moments(self) -> dict[str, dict[str, Tensor]]:
        """AdamW's exp_avg, exp_avg_sq and step of every trained parameter."""
        return {name: self.adamw.state[master] for name, master in self.masters.items()}

    def collect(self) -> None:
        """Add the model's gradients to those of the masters and free them. Call it after every backward pass."""
        for master, parameter in self._pairs():
            if master is parameter or parameter.grad is None:
                continue
            new = parameter.grad.float()
            master.grad = new if master.grad is None else master.grad.add_(new)
            parameter.grad = None

    def reduce(self, replicas: Replicas) -> None:
        """Sum the gradients over all processes."""
        replicas.sum(self.gradients().values())

    def gradients(self) -> dict[str, Tensor]:
        """float32 gradients of the summed loss by parameter; zero where no row of this process reached the parameter."""
        found = dict[str, Tensor]()
        for name, master in self.masters.items():
            if master.grad is None:
                master.grad = torch.zeros_like(master)
            found[name] = master.grad
        return found

    def norms(self, divisor: float) -> dict[Part, float]:
        """Norm of the gradients of every trained part, divided as `step` will divide them."""
        squares: dict[Part, list[Tensor]] = {}
        for name, gradient in self.gradients().items():
            squares.setdefault(self.part_of[name], []).append(gradient.square().sum())
        return {part: float(torch.stack(found).sum().sqrt()) / divisor for part, found in squares.items()}

    def first_not_finite(self) -> str | None:
        """Name of the first parameter whose gradient is not finite."""
        return next((name for name, gradient in self.gradients().items() if not gradient.isfinite().all()), None)

    def step(self, rates: Mapping[Part, float], divisor: float, max_norm: float = math.inf) -> None:
        """Divide the gradients, which belong to a sum of losses, clip them, update the masters and copy them to the model.

        max_norm: largest norm of all gradients together, when it is smaller than that of the settings.
        """
        for gradient in self.gradients().values():
            gradient /= divisor
        nn.utils.clip_grad_norm_(self.masters.values(), min(self.clip_norm, max_norm))
        for group in self.adamw.param_groups:
            group["lr"] = rates[group["part"]]
        self.adamw.step()
        self.copy_to_model()
        self.clear()

    def clear(self) -> None:
        """Free the gradients."""
        for master, parameter in self._pairs():
            master.grad = parameter.grad = None

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Copy the masters into the model's parameters."""
        for master, parameter in self._pairs():
            if master is not parameter:
                parameter.copy_(master)

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.masters.values(), self.model_parameters.values(), strict=True)


def _master(parameter: nn.Parameter) -> Tensor:
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float()


def _zero_moments(master: Tensor) -> dict[str, Tensor]:
    """AdamW's own initial state. It exists before the first step, so that a checkpoint can be read into it."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=master.device),
        "exp_avg": torch.zeros_like(master),
        "exp_avg_sq": torch.zeros_like(master),
    }
