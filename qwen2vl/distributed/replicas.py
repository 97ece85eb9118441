"""Data parallelism: every process holds the whole model and works on its share of each step.

Two single-threaded processes use two cores better than two threads do, because a small model's operations are too short
to share. Started by torchrun, which sets RANK and WORLD_SIZE; a plain process is a group of one.
"""

import os
from collections.abc import Sequence
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor


class Replicas:
    """The group of processes that train one model."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls) -> Self:
        """The group that torchrun started this process in, or a group of one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            # Sums of losses lie on the CPU, gradients on the device: both kinds travel.
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), size) if size > 1 else cls()

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes, prints and validates."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one type over all processes, in place and in one message."""
        if self.size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """End the group; a process that goes without it makes the others complain."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()
