"""Speed and memory of the machine: the FLOP rate that MFU divides by, and the most memory that was held."""

import resource
import sys
import time

import torch

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bf16 FLOP/s as the makers state them, by a part of the device's name."""


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a device in a precision: the stated rate of a known GPU, otherwise the best of some matrix products (0.3 s).

    The best is taken because other work on the device can only make a product slower.
    """
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        for piece, rate in PEAK_FLOPS.items():
            if piece in name:
                return rate
    size, best = 768, 0.0
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    for _ in range(5):
        began = time.perf_counter()
        _ = matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory that this process has held: on the device for a GPU, resident in total for a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
