"""AdamW on float32 master weights, while the model itself may compute in bf16; one learning rate for every part."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from qwen2vl.training.parts import part_of, trained
from qwen2vl.training.train_config import Part, TrainConfig


class MasterOptimizer:
    """Keeps a float32 copy of every trained parameter: bf16 alone loses updates smaller than 1/256 of a weight.

    With a float32 model the copies are the parameters themselves and cost nothing. Gradients are sums over tokens until
    `step` divides them.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, earlier: "MasterOptimizer | None" = None) -> None:
        """earlier: of the stage before; parameters that were trained there keep their masters and moments."""
        self.model_parameters = dict(trained(model))
        known: dict[str, Tensor] = earlier.masters if earlier else {}
        self.masters: dict[str, Tensor] = {
            name: known.get(name, _master(p)) for name, p in self.model_parameters.items()
        }
        self.clip_norm = config.clip_norm
        groups: dict[tuple[Part, bool], list[Tensor]] = {}
        for name, master in self.masters.items():
            decayed = master.ndim == 2 and "embed_tokens" not in name
            groups.setdefault((part_of(name), decayed), []).append(master)
        self.adamw = torch.optim.AdamW(
            [
                {"params": masters, "weight_decay": config.weight_decay * decayed, "part": part}
                for (part, decayed), masters in groups.items()
            ],
            lr=0.0,
            betas=config.betas,
            fused=True,
        )
        for name, master in self.masters.items():
            self.adamw.state[master] = earlier.moments[name] if earlier and name in known else _fresh_moments(master)

    @property
    def moments(self) -> dict[str, dict[str, Tensor]]:
        """Of every trained parameter: exp_avg, exp_avg_sq, step."""
        return {name: self.adamw.state[master] for name, master in self.masters.items()}

    def collect(self) -> None:
        """Add the model's gradients to those of the masters and free them: to be called after every backward pass."""
        for master, parameter in self._pairs():
            if master is parameter or parameter.grad is None:
                continue
            fresh = parameter.grad.float()
            master.grad = fresh if master.grad is None else master.grad.add_(fresh)
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """float32 gradients of the summed loss; nought where no row of this process reached a parameter."""
        for master in self.masters.values():
            if master.grad is None:
                master.grad = torch.zeros_like(master)
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def norms(self, divisor: float) -> dict[Part, float]:
        """Norm of the gradients of every trained part, after the division that `step` will do."""
        squares: dict[Part, list[Tensor]] = {}
        for name, gradient in zip(self.masters, self.gradients(), strict=True):
            squares.setdefault(part_of(name), []).append(gradient.square().sum())
        return {part: float(torch.stack(found).sum().sqrt()) / divisor for part, found in squares.items()}

    def not_finite(self) -> str | None:
        """The first parameter with a gradient that is not finite."""
        pairs = zip(self.masters, self.gradients(), strict=True)
        return next((name for name, gradient in pairs if not gradient.isfinite().all()), None)

    def step(self, rates: Mapping[Part, float], divisor: float) -> None:
        """Divide the gradients (the loss was a sum), clip, update, copy back to the model."""
        for gradient in self.gradients():
            gradient /= divisor
        nn.utils.clip_grad_norm_(self.masters.values(), self.clip_norm)
        for group in self.adamw.param_groups:
            group["lr"] = rates[group["part"]]
        self.adamw.step()
        self.publish()
        self.clear()

    def clear(self) -> None:
        """Forget the gradients of a step."""
        for master, parameter in self._pairs():
            master.grad = parameter.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the masters into the model."""
        for master, parameter in self._pairs():
            if master is not parameter:
                parameter.copy_(master)

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.masters.values(), self.model_parameters.values(), strict=True)


def _master(parameter: nn.Parameter) -> Tensor:
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float()


def _fresh_moments(master: Tensor) -> dict[str, Tensor]:
    """As AdamW makes them in its first step; made at once, so that a checkpoint can be read into them."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=master.device),
        "exp_avg": torch.zeros_like(master),
        "exp_avg_sq": torch.zeros_like(master),
    }
