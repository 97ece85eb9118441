"""Write a checkpoint directory in the hub layout, from a model or from another checkpoint."""

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
from qwen2vl.model.checkpoint.names import Entry, tensor_table
from qwen2vl.model.checkpoint.tensor_files import MAX_SHARD_BYTES, PendingTensor, write_tensors
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig

COPIED_FILES = (
    "generation_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "chat_template.json", "chat_template.jinja",
    "LICENSE", "README.md",
)  # fmt: skip
"""Files that `convert` copies unchanged, if they exist."""


class Savable(Protocol):
    """A processor for `save_checkpoint`: it writes its tokenizer, chat template and media files."""

    def save(self, directory: str | Path) -> None: ...


def save_checkpoint(
    model: Qwen2VL,
    processor: Savable,
    directory: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a complete checkpoint directory: flat config, original tensor names, tokenizer, chat template, media files.

    dtype None = the model's precision. The directory appears complete or not at all; it must not exist, or be empty.
    Raises CheckpointError when it cannot be written, when model and processor belong to different models, or when the
    model has an adapter that was not merged.
    """
    refuse_unmerged(model)
    precision = model.dtype if dtype is None else choose_dtype(dtype, model.config, model.device)
    parameters = dict(model.named_parameters())

    def exported(entry: Entry) -> Callable[[], Tensor]:
        return lambda: parameters[entry.name].detach().reshape(entry.disk_shape)

    pending = [pending_tensor(entry, precision, exported(entry)) for entry in tensor_table(model)]
    with new_directory(Path(directory)) as folder:
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

    dtype None = each tensor's own precision. Holds one tensor at a time and calls report(bytes written, bytes in total)
    after it. edit(parameter name, stored tensor) returns the tensor to write, in any precision (see
    `lora.adapter_edit`). The directory must not exist, or be empty. Raises ConfigError, CheckpointError.
    """
    config, origin = Qwen2VLConfig.load(source), resolve_source(source)
    with torch.device("meta"):
        model = Qwen2VL(config)
    precision = None if dtype is None else choose_dtype(dtype, config, torch.device("cpu"))
    stored, found = find_tensors(model, origin)

    def edited(entry: Entry, name: str) -> Callable[[], Tensor]:
        return stored[name].read if edit is None else lambda: edit(entry.name, stored[name].read())

    pending = [
        pending_tensor(entry, precision or stored[name].dtype, edited(entry, name)) for entry, name in found.tensors
    ]
    with new_directory(Path(directory)) as folder:
        write_configs(folder, config, precision or pending[0].dtype)
        for file in (origin / name for name in COPIED_FILES):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        write_tensors(folder, pending, max_shard_bytes, report)


def pending_tensor(entry: Entry, dtype: torch.dtype, make: Callable[[], Tensor]) -> PendingTensor:
    """A parameter to write in this precision; `make` returns it in any precision, in its shape for files."""
    return PendingTensor(name=entry.name, shape=entry.disk_shape, dtype=dtype, make=lambda: make().to(dtype))


def refuse_unmerged(model: Qwen2VL) -> None:
    """Raise CheckpointError for a model with an adapter: its config does not describe those tensors."""
    with torch.device("meta"):
        plain = {name for name, _ in Qwen2VL(model.config).named_parameters()}
    extra = [name for name, _ in model.named_parameters() if name not in plain]
    if extra:
        raise CheckpointError(
            f"the model has {len(extra)} tensors that its config does not ask for, first {extra[0]}: fold its adapter "
            "in with merge_adapter, or write the adapter alone with save_adapter"
        )


def write_configs(folder: Path, config: Qwen2VLConfig, dtype: torch.dtype) -> None:
    """Write `config.json` and `generation_config.json`. The second makes other programs decode greedily, as we do."""
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
    """Write indented JSON, as in published checkpoints."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def refuse_foreign_processor(ours: Qwen2VLConfig, written: Qwen2VLConfig) -> None:
    """Raise CheckpointError if the processor wrote other pixel statistics than those that the tower normalises with."""
    vision = replace(ours.vision, image_mean=written.vision.image_mean, image_std=written.vision.image_std)
    assert replace(ours, vision=vision) == written, "config.json does not read back as it was written"
    if vision != ours.vision:
        raise CheckpointError(
            f"the processor's pixel statistics, mean {written.vision.image_mean} and std {written.vision.image_std}, "
            f"are not the model's, {ours.vision.image_mean} and {ours.vision.image_std}: save each model with its own "
            "processor"
        )


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `directory` at the end of the block, or is removed after an error.

    A killed process may leave `.NAME.partial-*` next to it, but never an incomplete `directory`. Raises CheckpointError
    when the directory holds files already, and instead of any OSError.
    """
    directory = directory.absolute()
    partial = directory.with_name(f".{directory.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        if directory.exists() and not directory.is_dir():
            raise CheckpointError(f'"{directory}" is a file where a directory is to be written: choose another name')
        if directory.exists() and any(directory.iterdir()):
            raise CheckpointError(f'"{directory}" already holds files: choose a new or empty directory')
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
