"""What the machine could do: the rate that MFU divides by."""

import time

import torch

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bf16 rates as the makers state them, by a piece of the device's name."""


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a device in this precision: stated for known GPUs, otherwise measured on matrix products (0.3 s)."""
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        for piece, rate in PEAK_FLOPS.items():
            if piece in name:
                return rate
    return measured_flops(device, dtype)


def measured_flops(device: torch.device, dtype: torch.dtype, size: int = 768, repeats: int = 5) -> float:
    """Best rate of a square product: a device that does something else meanwhile only makes it lower."""
    one = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        product = one @ one
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    assert product.shape == one.shape
    return best
