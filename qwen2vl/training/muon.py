"""Muon: momentum made orthogonal, for matrices that map features to features (Jordan 2024; scaled as in arXiv 2502.16982).

The update of a matrix is the nearest orthogonal one to its momentum, so that every direction moves alike, also those
that gradients rarely touch. A polynomial, iterated five times in bf16, finds it. For nano that is a third of a step, so
the processes of a run take turns: each works out one matrix of a round, and all add up what was found.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial whose fifth iterate sends singular values from 0.01 to 1 to about 0.7 to 1.2 (Jordan 2024)."""
ITERATIONS = 5
RMS = 0.8
"""Root mean square of an update at rate 1. AdamW's is about 0.2 to 0.4; nano learnt best with 0.8 (docs/nano.md)."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay. Every parameter is a matrix with a gradient."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        rank: int = 0,
        size: int = 1,
        add_up: Callable[[Sequence[Tensor]], None] = lambda tensors: None,
        momentum: float = 0.95,
    ) -> None:
        """rank, size: of this process among those that hold the same parameters and gradients; add_up sums over them."""
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum})
        self.rank, self.size, self.add_up = rank, size, add_up

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix, those of like cost in one round."""
        matrices = [(matrix, group) for group in self.param_groups for matrix in group["params"]]
        matrices.sort(key=lambda pair: _work(pair[0]), reverse=True)
        for first in range(0, len(matrices), self.size):
            turn = matrices[first : first + self.size]
            updates = [
                self.found(matrix, group["momentum"], at == self.rank) for at, (matrix, group) in enumerate(turn)
            ]
            self.add_up(updates)
            for (matrix, group), update in zip(turn, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * RMS * max(matrix.shape) ** 0.5)

    def found(self, matrix: Tensor, momentum: float, mine: bool) -> Tensor:
        """The update where it is this process's turn, else nought; momentum is kept by all."""
        held: Tensor = self.state[matrix]["momentum_buffer"]
        assert matrix.grad is not None
        held.lerp_(matrix.grad, 1 - momentum)
        if not mine:
            return torch.zeros_like(matrix, dtype=torch.bfloat16)
        return orthogonalised(matrix.grad.lerp(held, momentum))


def orthogonalised(matrix: Tensor) -> Tensor:
    """About the orthogonal factor of a matrix [M, N], in bf16: singular values near 1, the largest about 1.2."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / x.norm().clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _work(matrix: Tensor) -> int:
    """Multiplications of one iteration."""
    low, high = sorted(matrix.shape)
    return low * low * (2 * high + low)
