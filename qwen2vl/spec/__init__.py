"""Agreements between processing and model: sizes, tokens, grids, positions, costs. Without torch, except `spec.inputs`.

Read in this order: `tokens`, `config` (numbers of a model; `hub_config` reads its published files), `media_settings` and
`resize` (sizes of images and videos), `costs`, `positions` (three-axis positions), `inputs` (what the model receives).
"""

from pathlib import Path

PACKAGED_NANO = Path(__file__).resolve().parent.parent / "nano" / "checkpoint"
"""Directory of the shipped checkpoint. Defined only here, so `model` and `processing` do not depend on `nano`."""


def resolve_source(source: str | Path) -> Path:
    """Directory of a checkpoint: the packaged one for "nano", else the path itself."""
    return PACKAGED_NANO if str(source) == "nano" else Path(source)
