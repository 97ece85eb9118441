"""Checks that both sides compute the same, before any is timed."""

from typing import Any

import torch
from torch import Tensor

from tools.script import Disagreement

EXACT = 1e-3
"""Largest allowed difference in fp32, as a share of the largest value."""
ROUNDED = 0.1
"""Largest allowed root mean square of the difference in bf16, as a share of that of the values: 8 bits of mantissa through
many layers."""


def check_exact(what: str, ours: Tensor, theirs: Tensor, tolerance: float = EXACT) -> dict[str, Any]:
    """Compare fp32 values by the largest difference. Raises Disagreement."""
    ours, theirs = ours.detach().float().cpu(), theirs.detach().float().cpu()
    _check_shapes(what, ours, theirs)
    largest = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))
    return _judged(what, {"largest_relative_difference": largest}, largest, tolerance)


def check_rounded(what: str, ours: Tensor, theirs: Tensor, tolerance: float = ROUNDED) -> dict[str, Any]:
    """Compare bf16 values by the typical difference. Raises Disagreement."""
    ours, theirs = ours.detach().float().cpu(), theirs.detach().float().cpu()
    _check_shapes(what, ours, theirs)
    centred = theirs - theirs.mean()
    typical = float((ours - theirs).square().mean().sqrt() / centred.square().mean().sqrt().clamp_min(1e-30))
    return _judged(what, {"typical_relative_difference": typical}, typical, tolerance)


def check_top(what: str, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    """Compare bf16 logits [V]: the most likely tokens are the same, or closer than the rounding. Raises Disagreement."""
    found = check_rounded(what, ours, theirs)
    ours, theirs = ours.detach().float().cpu(), theirs.detach().float().cpu()
    first, second = int(ours.argmax()), int(theirs.argmax())
    found["top_token"] = [first, second]
    gap, noise = float(theirs[second] - theirs[first]), float((ours - theirs).abs().max())
    if gap > 2 * noise:
        raise Disagreement(
            f"{what}: most likely tokens {first} and {second} differ by {gap:.3g}, the noise is {noise:.3g}"
        )
    return found


def _check_shapes(what: str, ours: Tensor, theirs: Tensor) -> None:
    if ours.shape != theirs.shape:
        raise Disagreement(f"{what}: shapes {list(ours.shape)} and {list(theirs.shape)} differ")
    if not (torch.isfinite(ours).all() and torch.isfinite(theirs).all()):
        raise Disagreement(f"{what}: some values are not finite")


def _judged(what: str, found: dict[str, Any], figure: float, tolerance: float) -> dict[str, Any]:
    if not figure <= tolerance:
        raise Disagreement(f"{what}: the difference {figure:.3g} is over the tolerance {tolerance:.3g}")
    return {"what": what, **found, "tolerance": tolerance}
