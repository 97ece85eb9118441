"""The tiny model with an adapter, and ways to change the files of an adapter."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from qwen2vl.model.lora import DECODER_TARGETS, TOWER_TARGETS, LoraConfig, adapter_state, add_adapter, save_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs

EVERYWHERE = LoraConfig(rank=4, alpha=6.0, targets=(*DECODER_TARGETS, *TOWER_TARGETS), parts=("tower", "decoder"))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])

MakeModel = Callable[..., Qwen2VL]
Edit = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@torch.no_grad()
def fill_b(model: Qwen2VL, seed: int = 7) -> Qwen2VL:
    """Give B numbers as large as training would: the adapter changes every logit."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in adapter_state(model).items():
        if ".lora_B." in name:
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=generator))
    return model


@torch.inference_mode()
def logits(model: Qwen2VL, row: ModelInputs) -> Tensor:
    return model(row).logits


def edit_tensors(directory: Path, edit: Edit, keep_base: bool = True) -> None:
    path = directory / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() if keep_base else {"format": "pt"}
    save_file(edit(load_file(path)), path, metadata=metadata)


def edit_config(directory: Path, **fields: object) -> None:
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture(scope="session")
def row(make_row: Callable[..., ModelInputs]) -> ModelInputs:
    return make_row([5, (1, 4, 6), 7, (2, 2, 4), 3])


@pytest.fixture
def adapted(make_model: MakeModel) -> Qwen2VL:
    """The tiny model with an adapter everywhere, with numbers as after training."""
    model = make_model()
    add_adapter(model, EVERYWHERE, seed=0)
    return fill_b(model)


@pytest.fixture
def directory(adapted: Qwen2VL, tmp_path: Path) -> Path:
    """The adapter of `adapted`, saved."""
    save_adapter(adapted, tmp_path / "adapter")
    return tmp_path / "adapter"
