"""safetensors files of a checkpoint, one or many: headers are listed first, tensors are read and written one at a time.

Nothing here knows the model; names are those in the files. Pickled weights (`*.bin`, `*.pt`) are never opened.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from qwen2vl.common.errors import CheckpointError
from qwen2vl.spec import how_to_use_run, is_run
from qwen2vl.spec.hub_config import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 4_000_000_000
"""Size of the published files: every file system can hold them, and a broken download of one costs little."""

FLOAT_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""Precisions of weights, by their names in the format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor in a file, not read yet."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path

    def read(self) -> Tensor:
        """The tensor on the CPU, a view of the mapped file: copy it to keep it. Raises CheckpointError.

        The file is opened for each tensor (1 ms), because its pages count as memory of this process until it is
        closed: with one handle a file of 4 GB would occupy up to 4 GB besides the model.
        """
        with open_tensors(self.file) as file:
            tensor: Tensor = file.get_tensor(self.name)
        return tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTensor:
    """A tensor to write, computed only when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]
    """Computes the tensor, on any device, with exactly this shape and dtype."""

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return prod(self.shape) * self.dtype.itemsize

    def raw_bytes(self) -> memoryview:
        """Compute the tensor and return its numbers as the file stores them."""
        tensor = self.make()
        assert (tuple(tensor.shape), tensor.dtype) == (self.shape, self.dtype), f"{self.name} is not as announced"
        return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def list_tensors(directory: Path, allow_integers: bool = False) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint directory by its name, from the headers alone.

    allow_integers: accept int64 tensors too, such as positions that some models store besides their weights.
    Raises CheckpointError when files are missing, damaged, ambiguous, quantised or not as their index describes them.
    """
    files, index = [directory / SINGLE], None
    if (directory / INDEX).exists():
        if files[0].exists():
            raise CheckpointError(
                f'"{directory}" holds both {SINGLE} and {INDEX}: one of them is of another model, remove it'
            )
        index = read_index(directory / INDEX)
        files = [directory / name for name in sorted(set(index.values()))]
    elif not files[0].exists():
        if is_run(directory.parent):  # its folder model/ has everything but weights
            raise CheckpointError(how_to_use_run(directory, directory.parent))
        raise CheckpointError(
            f'"{directory}" has neither {SINGLE} nor {INDEX}: give a checkpoint directory with safetensors weights '
            "(pickled ones are not read)"
        )
    stored = [tensor for file in files for tensor in list_file(file, allow_integers)]
    if index is not None:
        check_index(index, stored, directory)
    return {tensor.name: tensor for tensor in stored}


def read_index(path: Path) -> dict[str, str]:
    """Tensor name to file name. Files must be in the directory itself, because an index may come from anywhere."""
    index = read_json(path).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise CheckpointError(f'"{path}" has no weight_map from tensors to the files that hold them: copy it again')
    for file in index.values():
        if not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(
                f'"{path}" names the file {json.dumps(file)}: it must be a plain name of a file there'
            )
    return index


def check_index(index: dict[str, str], stored: Sequence[StoredTensor], directory: Path) -> None:
    """Raise CheckpointError unless each tensor is in the file that the index names, and in no other."""
    found = [(tensor.name, tensor.file.name) for tensor in stored]
    wrong = sorted(set(index.items()) ^ set(found)) or [pair for pair in found if found.count(pair) > 1]
    if wrong:
        name, file = wrong[0]
        raise CheckpointError(
            f'{INDEX} of "{directory}" and its files disagree about {len(wrong)} tensors, first {name} in {file}: '
            "copy index and files of the same checkpoint"
        )


def list_file(path: Path, allow_integers: bool = False) -> list[StoredTensor]:
    """Every tensor of one file, from its header. Raises CheckpointError like `list_tensors`."""
    types = FLOAT_TYPES | {"I64": torch.int64} if allow_integers else FLOAT_TYPES
    if not path.is_file():
        raise CheckpointError(f'"{path}" is missing although the index names it: copy all files of the checkpoint')
    with open_tensors(path) as file:
        headers = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118  # has no iterator
        entries = [(name, tuple(header.get_shape()), header.get_dtype()) for name, header in headers]
    for name, _, kind in entries:
        if kind not in types:
            raise CheckpointError(
                f'"{path}" stores {name} as {kind}, this program reads {", ".join(FLOAT_TYPES)}: use the unquantised '
                "release"
            )
    return [StoredTensor(name=name, shape=shape, dtype=types[kind], file=path) for name, shape, kind in entries]


def open_tensors(path: Path) -> Any:
    """A safetensors file to read, as a context manager. Raises CheckpointError where the library has its own errors."""
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'"{path}" cannot be read as safetensors: it is damaged, incomplete or only a pointer to a large file, '
            "copy it again"
        ) from error


def write_tensors(
    directory: Path,
    tensors: Sequence[PendingTensor],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write one file, or several of at most max_shard_bytes and an index; a larger tensor gets its own file.

    Holds one tensor at a time and calls report(bytes written, bytes in total) after each. Raises OSError,
    CheckpointError.
    """
    if max_shard_bytes < 1:
        raise CheckpointError(f"max_shard_bytes is {max_shard_bytes}: it must be a positive number of bytes")
    shards = list(shard(tensors, max_shard_bytes))
    total, written = sum(tensor.num_bytes for tensor in tensors), 0
    index: dict[str, str] = {}
    for number, members in enumerate(shards, 1):
        name = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        index |= {tensor.name: name for tensor in members}
        with (directory / name).open("wb") as file:
            file.write(header(members))
            for tensor in members:
                file.write(tensor.raw_bytes())
                written += tensor.num_bytes
                if report is not None:
                    report(written, total)
    if len(shards) > 1:
        content = {"metadata": {"total_size": total}, "weight_map": index}
        (directory / INDEX).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def shard(tensors: Sequence[PendingTensor], max_shard_bytes: int) -> Iterator[list[PendingTensor]]:
    """Cut the sequence where the next tensor would not fit: sizes 3, 2, 4, 9 at 5 give [3, 2], [4], [9]."""
    members: list[PendingTensor] = []
    room = max_shard_bytes
    for tensor in tensors:
        if members and tensor.num_bytes > room:
            yield members
            members, room = [], max_shard_bytes
        members.append(tensor)
        room -= tensor.num_bytes
    yield members


def header(tensors: Sequence[PendingTensor]) -> bytes:
    """Length and JSON at the start of a safetensors file. Built here because the library writes whole files only.

    Padded to 8 bytes, so that every number is aligned. Readers expect the metadata {"format": "pt"}.
    """
    kinds = {dtype: kind for kind, dtype in FLOAT_TYPES.items()}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.num_bytes
        entries[tensor.name] = {
            "dtype": kinds[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
