"""The loss: sum over supervised tokens, divided by how many there are in the whole step.

Logits exist only at supervised tokens, and never all at once: they are made, judged and turned into gradients in chunks.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.tokens import IGNORED

CHUNK_LOGITS = 2**26
"""Logits that exist at one time, 256 MB; a row of the published vocabulary has 151,936."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLoss:
    """Cross-entropy of one packed row."""

    total: Tensor
    """Sum over supervised tokens, a scalar with a graph."""
    each: Tensor
    """float32 [count]: of every supervised token, without a graph."""
    correct: Tensor
    """bool [count]: whether the most likely token is the right one."""
    rows: Tensor
    """int64 [count]: which rows of the input hold the targets."""

    @property
    def count(self) -> int:
        """Supervised tokens."""
        return len(self.rows)


def token_loss(model: Qwen2VL, inputs: ModelInputs, chunk_logits: int = CHUNK_LOGITS) -> TokenLoss:
    """Cross-entropy at supervised tokens: labels[i] is asked of row i - 1. Documents begin unsupervised, so none leaks."""
    assert inputs.labels is not None, "training rows carry labels"
    rows = (inputs.labels != IGNORED).nonzero().squeeze(1)
    hidden, weight, labels = model.hidden(inputs)[rows - 1], model.lm_head.weight, inputs.labels[rows]
    size = max(1, chunk_logits // weight.shape[0])
    total, each, correct = _HeadLoss.apply(hidden, weight, labels, size, torch.is_grad_enabled())
    return TokenLoss(total=total, each=each, correct=correct, rows=rows)


class _HeadLoss(torch.autograd.Function):
    """Head and cross-entropy in one. The gradients are made together with the loss, while a chunk's logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, size: int, with_graph: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """hidden [R, H], weight [V, H], labels [R] -> sum, each [R], correct [R]."""
        of_hidden, of_weight = (with_graph and needed for needed in ctx.needs_input_grad[:2])
        each = hidden.new_empty(len(hidden), dtype=torch.float32)
        correct = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if of_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if of_weight else None
        for begin in range(0, len(hidden), size):
            here = slice(begin, begin + size)
            x, target = hidden[here], labels[here, None]
            logits = (x @ weight.T).float()
            correct[here] = logits.argmax(-1) == target[:, 0]
            spread = logits.logsumexp(-1, keepdim=True)
            each[here] = (spread - logits.gather(1, target))[:, 0]
            if not (of_hidden or of_weight):
                continue
            slope = logits.sub_(spread).exp_()
            slope.scatter_add_(1, target, slope.new_full(target.shape, -1.0))
            slope = slope.to(weight.dtype)
            if grad_hidden is not None:
                torch.mm(slope, weight, out=grad_hidden[here])
            if grad_weight is not None:
                grad_weight += slope.T @ x
        ctx.gradients = grad_hidden, grad_weight if grad_weight is None else grad_weight.to(weight.dtype)
        ctx.mark_non_differentiable(each, correct)
        return each.sum(), each, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden, of_weight = ctx.gradients
        scaled = (g if g is None else g * grad_total.to(g.dtype) for g in (of_hidden, of_weight))
        return (*scaled, None, None, None)


@torch.no_grad()
def exact_documents(inputs: ModelInputs, loss: TokenLoss) -> Tensor:
    """bool [S]: documents whose supervised tokens are all the most likely ones: greedy decoding would write them."""
    wrong = torch.zeros(inputs.num_documents).index_add(0, documents_of(inputs, loss), (~loss.correct.cpu()).float())
    return wrong == 0


def documents_of(inputs: ModelInputs, loss: TokenLoss) -> Tensor:
    """int64 [count]: which document every supervised token belongs to."""
    return torch.searchsorted(inputs.segments[1:].long(), loss.rows.cpu(), right=True)
