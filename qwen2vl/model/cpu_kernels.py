"""The one place that changes a setting of torch in order to get a faster kernel on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_onednn() -> Iterator[None]:
    """Make linear layers inside the block use torch's own kernels instead of those of oneDNN.

    Faster for one row of bf16: torch's matrix-vector product reads weights at 18 GB/s per core, oneDNN's, which
    rearranges the weights on every call, at 11 (the memory gives 25). For two rows and more oneDNN is the faster one.
    The setting belongs to the process: blocks that overlap in two threads may leave it changed.
    """
    # Not torch.backends.mkldnn.flags: by default it also sets TF32, with a warning about Intel GPUs, and on leaving it
    # turns an fp32 precision inherited from torch.backends into a setting of oneDNN that later changes don't reach.
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # torch declares the property's class
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
