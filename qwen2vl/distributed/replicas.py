"""Data parallelism: every process holds the whole model and trains on its share of each batch.

Two single-threaded processes use two CPU cores better than one process with two threads, because the operations of a small
model are too short to be divided. torchrun starts the processes and sets RANK and WORLD_SIZE; a process started without it
is a group of one.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from qwen2vl.common.errors import PeerLostError

MESSAGE_NUMBERS = 2**20
"""Largest size of a message of several tensors. One message for each of nano's 105 gradients takes 4 times as long (gloo)."""


class Replicas:
    """The group of processes that train one model."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls) -> Self:
        """Join the group that torchrun started this process in, or return a group of one.

        This and all exchanges with the group raise PeerLostError when another process has ended.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            # The totals of a step are CPU tensors and the gradients are device tensors: both need a backend.
            with peers_needed():
                dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), size) if size > 1 else cls()

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files, prints and validates."""
        return self.rank == 0

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Sum each tensor over all processes, in place. Every process passes the same shapes in the same order, all of one type.

        Small tensors share a message of at most `MESSAGE_NUMBERS` numbers and larger ones are sent as they are, so at most
        one message is ever copied. With two processes the grouping cannot change a sum. With more, the order of additions
        depends on a number's place in its message, so another grouping may change the last bits.
        """
        if self.size == 1:
            return
        for message in _messages(tensors):
            flat = message[0] if len(message) == 1 else torch.cat([tensor.reshape(-1) for tensor in message])
            with peers_needed():
                dist.all_reduce(flat)
            if len(message) > 1:
                parts = flat.split([tensor.numel() for tensor in message])
                for tensor, part in zip(message, parts, strict=True):
                    tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """Block until all processes have called this."""
        if self.size > 1:
            with peers_needed():
                dist.barrier()

    def leave(self) -> None:
        """End the group. A process that exits without this makes the other processes report an error."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextlib.contextmanager
def peers_needed() -> Iterator[None]:
    """Translate errors of an exchange between processes: it fails only when another one is gone or cannot be reached."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise PeerLostError(
            "another process of this run has ended or cannot be reached: its own message says why (without one, the system "
            "may have killed it for lack of memory); the same command resumes the run"
        ) from error


def _messages(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Group consecutive tensors so that a group of more than one stays within `MESSAGE_NUMBERS`."""
    group, numbers = list[Tensor](), 0
    for tensor in tensors:
        if group and numbers + tensor.numel() > MESSAGE_NUMBERS:
            yield group
            group, numbers = [], 0
        group.append(tensor)
        numbers += tensor.numel()
    if group:
        yield group
