"""The update on float32 master weights, while the model itself may compute in bf16; one learning rate for every part.

    adamw    every parameter
    muon     the matrices between first and last layer, orthogonalised momentum; AdamW for all others

Muon's update is scaled like AdamW's, so both take the same rates.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qwen2vl.distributed.replicas import Replicas
from qwen2vl.training.config import Part, TrainConfig
from qwen2vl.training.muon import Muon
from qwen2vl.training.parts import part_of, trained


class MasterOptimizer:
    """Keeps a float32 copy of every trained parameter: bf16 alone loses updates smaller than 1/256 of a weight.

    With a float32 model the copies are the parameters themselves and cost nothing. Gradients are sums over tokens until
    `step` divides them.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        earlier: "MasterOptimizer | None" = None,
        replicas: Replicas | None = None,
    ) -> None:
        """earlier: of the stage before; parameters that were trained there keep their masters and moments."""
        self.model_parameters = dict(trained(model))
        known: dict[str, Tensor] = earlier.masters if earlier else {}
        self.masters: dict[str, Tensor] = {
            name: known.get(name, _master(p)) for name, p in self.model_parameters.items()
        }
        self.clip_norm = config.clip_norm
        self.updates = _updates(self.masters, config, replicas or Replicas())
        self.update_of = {
            master: update for update in self.updates for group in update.param_groups for master in group["params"]
        }
        for name, master in self.masters.items():
            update = self.update_of[master]
            update.state[master] = (
                earlier.moments[name] if earlier and name in known else _fresh_moments(master, update)
            )

    @property
    def moments(self) -> dict[str, dict[str, Tensor]]:
        """Of every trained parameter: exp_avg, exp_avg_sq and step of AdamW, momentum_buffer of Muon."""
        return {name: self.update_of[master].state[master] for name, master in self.masters.items()}

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
        for update in self.updates:
            for group in update.param_groups:
                group["lr"] = rates[group["part"]]
            update.step()
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


def _updates(masters: Mapping[str, Tensor], config: TrainConfig, replicas: Replicas) -> list[torch.optim.Optimizer]:
    """One or two optimizers that share the parameters, which they hold in groups of one part and one decay."""
    groups: dict[tuple[bool, Part, bool], list[Tensor]] = {}
    for name, master in masters.items():
        decayed = master.ndim == 2 and "embed_tokens" not in name
        by_muon = config.optimizer == "muon" and is_hidden_matrix(name, master)
        groups.setdefault((by_muon, part_of(name), decayed), []).append(master)

    def settings(wanted: bool) -> list[dict[str, Any]]:
        return [
            {"params": found, "weight_decay": config.weight_decay * decayed, "part": part}
            for (by_muon, part, decayed), found in groups.items()
            if by_muon == wanted
        ]

    updates: list[torch.optim.Optimizer] = []
    if settings(False):
        updates.append(torch.optim.AdamW(settings(False), lr=0.0, betas=config.betas, fused=True))
    if settings(True):
        updates.append(Muon(settings(True), replicas.rank, replicas.size, replicas.sum))
    return updates


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter maps features to features: not pixels, not ids, not logits."""
    return parameter.ndim == 2 and not any(edge in name for edge in ("patch_embed", "embed_tokens", "lm_head"))


def _fresh_moments(master: Tensor, update: torch.optim.Optimizer) -> dict[str, Tensor]:
    """As the update makes them in its first step; made at once, so that a checkpoint can be read into them."""
    if isinstance(update, Muon):
        return {"momentum_buffer": torch.zeros_like(master)}
    return {
        "step": torch.zeros((), dtype=torch.float32, device=master.device),
        "exp_avg": torch.zeros_like(master),
        "exp_avg_sq": torch.zeros_like(master),
    }
