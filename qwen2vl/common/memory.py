"""Settings of the memory allocator and of kernel caches, where their defaults cost time or memory."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc reuse large freed blocks instead of returning them to the kernel.

    A training step frees and allocates the same few hundred megabytes again. By default every block is mapped and zeroed
    each time: 10,000 page faults, a fifth of the step (measured on two cores). No effect without glibc.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)


def bound_kernel_cache() -> None:
    """Let oneDNN keep 100 prepared kernels instead of 1,024; call it before the first product.

    oneDNN keeps one kernel of 0.4 MB for every shape, and packed rows always have new shapes: 0.8 GB resident in nano's
    training instead of 0.5, without a gain in speed. A value set by the user is kept.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "100")
