"""What processing and model must agree on: sizes, tokens, grids, positions. No torch, except `spec.inputs`.

Start with `config` (the model's numbers), then `resize` and `costs`, `positions` (three-axis positions).
"""

from pathlib import Path

PACKAGED_NANO = Path(__file__).resolve().parent.parent / "nano" / "checkpoint"
"""Where the shipped checkpoint lies; the only place that knows, so `model` and `processing` need not know `nano`."""


def resolve_source(source: str | Path) -> Path:
    """Directory of a checkpoint: the packaged one for "nano", else the path itself."""
    return PACKAGED_NANO if str(source) == "nano" else Path(source)
