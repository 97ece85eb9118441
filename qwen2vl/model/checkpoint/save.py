"""From a model, or from another checkpoint, to a checkpoint directory in the hub layout."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint.load import choose_dtype, find_tensors
from qwen2vl.model.checkpoint.names import Entry, count, first, tensor_table
from qwen2vl.model.checkpoint.tensor_files import (
    MAX_SHARD_BYTES,
    PendingTensor,
    StoredTensor,
    read_tensor,
    write_tensors,
)
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig

COPIED = (
    "generation_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "chat_template.json", "chat_template.jinja",
    "LICENSE", "README.md",
)  # fmt: skip
"""Files that conversion takes over unchanged, where they exist."""


class SavesItself(Protocol):
    """A processor, seen from here: it writes tokenizer, chat template and media files into a directory."""

    def save(self, directory: str | Path) -> None: ...


def save_checkpoint(
    model: Qwen2VL,
    processor: SavesItself,
    directory: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a complete checkpoint directory: flat config, original tensor names, tokenizer, chat template, media files.

    dtype None = as the model is. The directory appears whole or not at all; it must not exist, or be empty.
    Raises CheckpointError when it cannot be written, when model and processor belong to different models, or when the
    model carries an adapter that was not merged.
    """
    refuse_unmerged(model)
    precision = model.dtype if dtype is None else choose_dtype(dtype, model.config, model.device)
    parameters = dict(model.named_parameters())
    pending = [exported(entry, parameters[entry.name], precision) for entry in tensor_table(model)]
    with appearing_whole(Path(directory)) as folder:
        write_configs(folder, model.config, precision)
        processor.save(folder)
        refuse_foreign_processor(model.config, Qwen2VLConfig.load(folder))
        write_tensors(folder, pending, max_shard_bytes)


def convert(
    source: str | Path,
    directory: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    report: Callable[[int, int], None] | None = None,
    edit: Callable[[str, Tensor], Tensor] | None = None,
) -> None:
    """Rewrite a checkpoint with flat config and original tensor names; tokenizer and media files are copied unchanged.

    dtype None = each tensor as it is. Holds one tensor at a time and calls report(bytes done, bytes in all) after it.
    `edit` is given each parameter's name and its tensor as stored, and may change the numbers (see `lora.folding`);
    what it returns is rounded to the precision that is written.
    The directory must not exist, or be empty. Raises ConfigError, CheckpointError.
    """
    config, origin = Qwen2VLConfig.load(source), resolve_source(source)
    with torch.device("meta"):
        model = Qwen2VL(config)
    precision = None if dtype is None else choose_dtype(dtype, config, torch.device("cpu"))
    stored, found = find_tensors(model, origin)
    pending = [rewritten(entry, stored[name], precision, edit) for entry, name in found.tensors]
    with appearing_whole(Path(directory)) as folder:
        write_configs(folder, config, precision or pending[0].dtype)
        for file in (origin / name for name in COPIED):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        write_tensors(folder, pending, max_shard_bytes, report)


def exported(entry: Entry, parameter: Tensor, dtype: torch.dtype) -> PendingTensor:
    def make() -> Tensor:
        return parameter.detach().to(dtype).reshape(entry.disk_shape)

    return PendingTensor(name=entry.name, shape=entry.disk_shape, dtype=dtype, make=make)


def rewritten(
    entry: Entry, tensor: StoredTensor, dtype: torch.dtype | None, edit: Callable[[str, Tensor], Tensor] | None
) -> PendingTensor:
    kind = dtype or tensor.dtype

    def make() -> Tensor:
        as_stored = read_tensor(tensor)
        return (as_stored if edit is None else edit(entry.name, as_stored)).to(kind)

    return PendingTensor(name=entry.name, shape=entry.disk_shape, dtype=kind, make=make)


def refuse_unmerged(model: Qwen2VL) -> None:
    """A checkpoint holds what its config asks for; an adapter's tensors would be refused on loading."""
    with torch.device("meta"):
        plain = {name for name, _ in Qwen2VL(model.config).named_parameters()}
    extra = [name for name, _ in model.named_parameters() if name not in plain]
    if extra:
        raise CheckpointError(
            f"the model has {count(extra)} that its config does not ask for ({first(extra)}): fold its adapter in with "
            "merge_adapter, or write the adapter alone with save_adapter"
        )


def write_configs(folder: Path, config: Qwen2VLConfig, dtype: torch.dtype) -> None:
    """`config.json` and `generation_config.json`. The second makes other programs decode greedily, as we do."""
    tokens = config.tokens
    generation = {
        "bos_token_id": tokens.bos,
        "pad_token_id": tokens.bos,
        "eos_token_id": [tokens.eos, tokens.bos],
        "do_sample": False,
    }
    write_json(folder / "config.json", config.to_hub() | {"torch_dtype": str(dtype).removeprefix("torch.")})
    write_json(folder / "generation_config.json", generation)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def refuse_foreign_processor(ours: Qwen2VLConfig, written: Qwen2VLConfig) -> None:
    """The tower normalises pixels with the statistics that the processor's file will carry: they must be its own."""
    vision = replace(ours.vision, image_mean=written.vision.image_mean, image_std=written.vision.image_std)
    assert replace(ours, vision=vision) == written, "config.json does not read back as it was written"
    if vision != ours.vision:
        raise CheckpointError(
            f"the processor's pixel statistics, mean {written.vision.image_mean} and std {written.vision.image_std}, "
            f"are not the model's, {ours.vision.image_mean} and {ours.vision.image_std}: save each model with its own "
            "processor"
        )


@contextmanager
def appearing_whole(directory: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of `directory` at the end, or vanishes if anything goes wrong.

    A killed process may leave `.NAME.partial-*` next to it, never a half checkpoint under its name. OSErrors become
    CheckpointErrors.
    """
    directory = directory.absolute()
    partial = directory.with_name(f".{directory.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        refuse_taken(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        partial.rename(directory)  # replaces an empty directory, and nothing else
    except OSError as error:
        raise CheckpointError(
            f'"{directory}" cannot be written: choose a place with enough room where you may write'
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_taken(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise CheckpointError(f'"{directory}" is a file where a directory is to be written: choose another name')
    if directory.exists() and any(directory.iterdir()):
        raise CheckpointError(f'"{directory}" already holds files: choose a new or empty directory')
