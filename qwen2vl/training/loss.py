"""The loss: sum over supervised tokens, divided by how many there are in the whole step.

Logits exist only at supervised rows; at other rows nothing is asked of the model.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs

IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLoss:
    """Cross-entropy of one packed row."""

    total: Tensor
    """Sum over supervised tokens, a scalar with a graph."""
    count: int
    """Supervised tokens."""
    correct: Tensor
    """bool [count]: whether the most likely token is the right one, without a graph."""
    rows: Tensor
    """int64 [count]: which rows of the input hold the targets."""


def token_loss(model: Qwen2VL, inputs: ModelInputs) -> TokenLoss:
    """Cross-entropy at supervised tokens: labels[i] is asked of row i - 1. Documents begin unsupervised, so none leaks."""
    assert inputs.labels is not None, "training rows carry labels"
    targets = (inputs.labels != IGNORED).nonzero().squeeze(1)
    logits = model(inputs, rows=targets - 1).logits
    labels = inputs.labels[targets]
    return TokenLoss(
        total=F.cross_entropy(logits, labels, reduction="sum"),
        count=len(targets),
        correct=logits.detach().argmax(-1) == labels,
        rows=targets,
    )


@torch.no_grad()
def exact_documents(inputs: ModelInputs, loss: TokenLoss) -> Tensor:
    """bool [S]: documents whose supervised tokens are all the most likely ones: greedy decoding would write them."""
    document = torch.searchsorted(inputs.segments[1:].long(), loss.rows.cpu(), right=True)
    wrong = torch.zeros(inputs.num_documents).index_add(0, document, (~loss.correct.cpu()).float())
    return wrong == 0
