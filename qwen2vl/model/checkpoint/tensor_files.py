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
from qwen2vl.spec.hub_config import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 4_000_000_000
"""As the published shards: a file that fits every file system and that a broken download does not cost too much of."""

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""Kinds of numbers that are read and written, by their names in the format."""
COUNTS = {"I64": torch.int64}
"""Positions and the like, which some models store besides their weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor in a file, not yet read."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTensor:
    """A tensor to be written, made only when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]
    """Any device; must have the shape and dtype announced."""

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def list_tensors(directory: Path, with_counts: bool = False) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint directory by its name, from the headers alone; `with_counts` lets whole numbers pass.

    Raises CheckpointError when files are missing, damaged, ambiguous, quantised or not as their index says.
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
        raise CheckpointError(
            f'"{directory}" has neither {SINGLE} nor {INDEX}: give a checkpoint directory with safetensors weights '
            "(pickled ones are not read)"
        )
    stored = [tensor for file in files for tensor in list_file(file, with_counts)]
    if index is not None:
        refuse_disagreement(index, stored, directory)
    return {tensor.name: tensor for tensor in stored}


def read_index(path: Path) -> dict[str, str]:
    """Tensor name to file name. Files must lie in the directory itself: an index may come from anywhere."""
    index = read_json(path).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise CheckpointError(f'"{path}" has no weight_map that says which file holds which tensor: copy it again')
    for file in index.values():
        if not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(
                f'"{path}" names the file {json.dumps(file)}: it must be a plain name of a file there'
            )
    return index


def list_file(path: Path, with_counts: bool = False) -> list[StoredTensor]:
    """Header of one file. Raises CheckpointError."""
    known = DTYPES | COUNTS if with_counts else DTYPES
    if not path.is_file():
        raise CheckpointError(f'"{path}" is missing although the index names it: copy all files of the checkpoint')
    with opened(path) as file:
        headers = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118  # has no iterator
        kinds = [(name, tuple(header.get_shape()), header.get_dtype()) for name, header in headers]
    for name, _, kind in kinds:
        if kind not in known:
            raise CheckpointError(
                f'"{path}" stores {name} as {kind}, this program reads {", ".join(DTYPES)}: use the unquantised release'
            )
    return [StoredTensor(name=name, shape=shape, dtype=known[kind], file=path) for name, shape, kind in kinds]


def opened(path: Path) -> Any:
    """The one place where a tensor file is opened; the library's errors become ours."""
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'"{path}" cannot be read as safetensors: it is damaged, incomplete or only a pointer to a large file, '
            "copy it again"
        ) from error


def refuse_disagreement(index: dict[str, str], stored: Sequence[StoredTensor], directory: Path) -> None:
    """What the index promises must be what the files hold, each tensor in the file it names and in no other."""
    held = [(tensor.name, tensor.file.name) for tensor in stored]
    wrong = sorted(set(index.items()) ^ set(held)) or [pair for pair in held if held.count(pair) > 1]
    if wrong:
        name, file = wrong[0]
        raise CheckpointError(
            f'{INDEX} of "{directory}" and its files disagree about {len(wrong)} tensors, first {name} in {file}: '
            "copy index and files of the same checkpoint"
        )


def read_tensor(stored: StoredTensor) -> Tensor:
    """One tensor on the CPU, a view of the mapped file: copy what is to be kept.

    The file is opened anew for each tensor (1 ms), because pages stay counted as ours until it is closed: with one
    handle a file of 4 GB would occupy up to 4 GB besides the model.
    """
    with opened(stored.file) as file:
        tensor: Tensor = file.get_tensor(stored.name)
    return tensor


def write_tensors(
    directory: Path,
    tensors: Sequence[PendingTensor],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write one file, or several of at most max_shard_bytes and an index; a larger tensor gets a file of its own.

    Holds one tensor at a time. report(bytes done, bytes in all) is called after each. Raises OSError, CheckpointError.
    """
    if max_shard_bytes < 1:
        raise CheckpointError(f"max_shard_bytes is {max_shard_bytes}: it must be a positive number of bytes")
    shards = list(shard(tensors, max_shard_bytes))
    total, done = sum(tensor.num_bytes for tensor in tensors), 0
    index: dict[str, str] = {}
    for number, members in enumerate(shards, 1):
        name = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        index |= {tensor.name: name for tensor in members}
        with (directory / name).open("wb") as file:
            file.write(header(members))
            for tensor in members:
                file.write(raw_bytes(tensor))
                done += tensor.num_bytes
                if report is not None:
                    report(done, total)
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
    """Length and JSON that begin a safetensors file. Written here because the library takes whole files only.

    Padded to 8 bytes, so that every number lies aligned. Readers expect the metadata {"format": "pt"}.
    """
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
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


def raw_bytes(pending: PendingTensor) -> memoryview:
    tensor = pending.make()
    assert (tuple(tensor.shape), tensor.dtype) == (pending.shape, pending.dtype), f"{pending.name} is not as announced"
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
