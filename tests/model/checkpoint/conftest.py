"""A processor for the tiny model, and ways to change the files of a checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import Qwen2VLConfig

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def processor(tiny: Qwen2VLConfig) -> Processor:
    return Processor(build_nano_tokenizer(["red", "circle"]), tiny)


@pytest.fixture
def saved(model: Qwen2VL, processor: Processor, tmp_path: Path) -> Path:
    """The tiny model as a checkpoint directory."""
    save_checkpoint(model, processor, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Tensors], Tensors | None]], None]:
    """Change the tensors of a checkpoint with one file."""

    def change(directory: Path, edit: Callable[[Tensors], Tensors | None]) -> None:
        tensors = load_file(directory / "model.safetensors")
        tensors = edit(tensors) or tensors
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})

    return change


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """Change fields of a JSON file; a value of None removes the field."""

    def change(path: Path, **fields: object) -> None:
        content = json.loads(path.read_text()) | fields
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change
