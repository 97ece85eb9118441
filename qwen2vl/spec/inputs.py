"""`ModelInputs`: the output of processing and the input of the model. The only module of `spec` that uses torch."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """One packed row of documents, without a batch dimension and without padding.

    T tokens in S documents, P patches of N images and videos; images and videos are one list, in textual order.
    """

    ids: Tensor
    """int64 [T]."""
    positions: Tensor
    """int64 [3, T]: time, row, column; every document starts at 0."""
    segments: Tensor
    """int32 [S+1]: document boundaries, from 0 to T."""
    patches: Tensor
    """[P, 1176] in (channel, frame, row, column) order; uint8 = raw pixels, float = already normalised."""
    grids: Tensor
    """int64 [N, 3]: time, height, width in patches; P = sum of their products."""
    labels: Tensor | None = None
    """int64 [T] or None; labels[i] is the target *at* token i (predicted at i-1), -100 = not supervised."""

    @property
    def num_tokens(self) -> int:
        return self.ids.shape[0]

    @property
    def num_documents(self) -> int:
        return self.segments.shape[0] - 1

    def to(self, device: torch.device | str) -> "ModelInputs":
        """A copy of the row on another device. Segments and grids stay on the CPU: Python reads them, not kernels."""
        moved = {name: getattr(self, name).to(device) for name in ("ids", "positions", "patches")}
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, **moved, labels=labels)


def pack(rows: list[ModelInputs]) -> ModelInputs:
    """Concatenate rows. Documents keep their own positions; nothing is padded.

    Two rows of 3 and 2 tokens give segments [0, 3, 5]. All rows have labels, or none has.
    """
    assert rows, "nothing to pack"
    with_labels = [row.labels is not None for row in rows]
    assert all(with_labels) or not any(with_labels), "rows with and without labels in one pack"
    ends = torch.cat([row.segments[1:] + sum(r.num_tokens for r in rows[:i]) for i, row in enumerate(rows)])
    joined = {
        name: torch.cat([getattr(row, name) for row in rows], dim=1 if name == "positions" else 0)
        for name in (field.name for field in fields(ModelInputs))
        if name != "segments" and (name != "labels" or all(with_labels))
    }
    return ModelInputs(segments=torch.cat([ends.new_zeros(1), ends]), **joined)
