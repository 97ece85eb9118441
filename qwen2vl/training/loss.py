"""The loss: cross-entropy summed over supervised tokens; the step divides it by their number over all rows and processes.

Logits are computed at supervised tokens only, and in chunks: each chunk becomes losses and gradients before the next one.
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
"""Largest number of logits that exist at one time (256 MB). One token has 151,936 with the published vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLoss:
    """Cross-entropy of one packed row."""

    total: Tensor
    """Sum over supervised tokens, a scalar that can be differentiated."""
    each: Tensor
    """float32 [count]: loss of every supervised token, without a graph."""
    correct: Tensor
    """bool [count]: whether the most likely token is the target."""
    rows: Tensor
    """int64 [count]: indices of the supervised tokens in the row."""

    @property
    def count(self) -> int:
        """Number of supervised tokens."""
        return len(self.rows)


def token_loss(model: Qwen2VL, inputs: ModelInputs, chunk_logits: int = CHUNK_LOGITS) -> TokenLoss:
    """Cross-entropy of one packed row at its supervised tokens.

    labels[i] is predicted from the hidden state i - 1. The first token of a document is never supervised, so no document is
    predicted from another one.
    """
    assert inputs.labels is not None, "training rows carry labels"
    rows = (inputs.labels != IGNORED).nonzero().squeeze(1)
    hidden, weight, labels = model.hidden(inputs)[rows - 1], model.lm_head.weight, inputs.labels[rows]
    size = max(1, chunk_logits // weight.shape[0])
    total, each, correct = _HeadLoss.apply(hidden, weight, labels, size, torch.is_grad_enabled())
    return TokenLoss(total=total, each=each, correct=correct, rows=rows)


class _HeadLoss(torch.autograd.Function):
    """Language model head and cross-entropy in one: the forward pass also computes the gradients, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, size: int, with_graph: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """hidden [R, H], weight [V, H], labels [R] to the sum, each [R] and correct [R]; size: rows of a chunk."""
        needs_hidden, needs_weight = (with_graph and needed for needed in ctx.needs_input_grad[:2])
        each = hidden.new_empty(len(hidden), dtype=torch.float32)
        correct = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        for begin in range(0, len(hidden), size):
            here = slice(begin, begin + size)
            x, target = hidden[here], labels[here, None]
            logits = (x @ weight.T).float()
            correct[here] = logits.argmax(-1) == target[:, 0]
            log_sum = logits.logsumexp(-1, keepdim=True)
            each[here] = (log_sum - logits.gather(1, target))[:, 0]
            if not (needs_hidden or needs_weight):
                continue
            # Gradient of the cross-entropy: softmax minus one at the target; in place, so that no second chunk exists.
            grad_logits = logits.sub_(log_sum).exp_()
            grad_logits.scatter_add_(1, target, grad_logits.new_full(target.shape, -1.0))
            grad_logits = grad_logits.to(weight.dtype)
            if grad_hidden is not None:
                torch.mm(grad_logits, weight, out=grad_hidden[here])
            if grad_weight is not None:
                grad_weight += grad_logits.T @ x
        ctx.gradients = grad_hidden, grad_weight if grad_weight is None else grad_weight.to(weight.dtype)
        ctx.mark_non_differentiable(each, correct)
        return each.sum(), each, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g if g is None else g * grad_total.to(g.dtype) for g in ctx.gradients)
        return (*scaled, None, None, None)


@torch.no_grad()
def exact_documents(inputs: ModelInputs, loss: TokenLoss) -> Tensor:
    """bool [S]: whether all supervised tokens of a document are the most likely ones, so that greedy decoding writes them."""
    wrong = torch.zeros(inputs.num_documents).index_add(0, documents_of(inputs, loss), (~loss.correct.cpu()).float())
    return wrong == 0


def documents_of(inputs: ModelInputs, loss: TokenLoss) -> Tensor:
    """int64 [count]: index of the document that every supervised token belongs to."""
    return torch.searchsorted(inputs.segments[1:].long(), loss.rows.cpu(), right=True)
