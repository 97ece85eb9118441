"""Adapters in files: saved then loaded is the original, PEFT's files are read, and what does not fit is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint.names import newer_name
from qwen2vl.model.lora import LoraLinear, adapter_state, add_adapter, load_adapter, save_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from tests.model.lora.conftest import DTYPES, EVERYWHERE, Edit, MakeModel, edit_config, edit_tensors, fill_b, logits


def adapter_files(directory: Path) -> tuple[str, dict[str, str], dict[str, list[float]]]:
    """Config, metadata and numbers of an adapter, in a form that can be compared."""
    path = directory / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = {name: tensor.flatten().tolist() for name, tensor in load_file(path).items()}
    return (directory / "adapter_config.json").read_text(), metadata, tensors


@DTYPES
def test_a_loaded_adapter_answers_as_the_saved_one(
    make_model: MakeModel, tied: Qwen2VLConfig, row: ModelInputs, tmp_path: Path, dtype: torch.dtype
) -> None:
    model = make_model(tied).to(dtype)
    add_adapter(model, EVERYWHERE, seed=0)
    save_adapter(fill_b(model), tmp_path / "a")
    loaded = make_model(tied).to(dtype)
    load_adapter(loaded, tmp_path / "a")
    assert torch.equal(logits(loaded, row), logits(model, row))
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == set(adapter_state(model))
    save_adapter(loaded, tmp_path / "b")
    assert adapter_files(tmp_path / "a") == adapter_files(tmp_path / "b")


def test_a_loaded_adapter_does_not_depend_on_its_file(directory: Path, make_model: MakeModel) -> None:
    model = make_model()
    load_adapter(model, directory)
    before = {name: tensor.clone() for name, tensor in adapter_state(model).items()}
    path = directory / "adapter_model.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter_state(model).items())


def test_files_have_the_layout_of_peft(directory: Path, adapted: Qwen2VL) -> None:
    assert {path.name for path in directory.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    content = json.loads((directory / "adapter_config.json").read_text())
    assert (content["peft_type"], content["r"], content["lora_alpha"], content["bias"]) == ("LORA", 4, 6.0, "none")
    assert content["target_modules"] == [
        "attn.proj", "attn.qkv", "mlp.down_proj", "mlp.fc1", "mlp.fc2", "mlp.gate_proj", "mlp.up_proj",
        "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj",
    ]  # fmt: skip
    tensors = load_file(directory / "adapter_model.safetensors")
    assert set(tensors) == {f"base_model.model.{name}" for name in adapter_state(adapted)}
    assert tensors["base_model.model.visual.blocks.1.attn.qkv.lora_B.weight"].shape == (96, 4)


def test_the_base_is_recognised_in_another_precision(
    directory: Path, make_model: MakeModel, adapted: Qwen2VL, row: ModelInputs
) -> None:
    rounded = make_model().to(torch.bfloat16)
    load_adapter(rounded, directory)
    assert adapter_state(rounded)["model.layers.0.mlp.up_proj.lora_A.weight"].dtype == torch.bfloat16
    assert float((logits(rounded, row) - logits(adapted, row)).abs().mean()) < 0.05


def test_an_adapter_of_peft_for_the_newer_naming_loads(
    directory: Path, make_model: MakeModel, adapted: Qwen2VL, row: ModelInputs
) -> None:
    """Newer module paths, targets by their last word, more fields in the config, and no fingerprint of the base."""
    begin = "base_model.model."
    edit_tensors(
        directory,
        lambda tensors: {begin + newer_name(name.removeprefix(begin)): value for name, value in tensors.items()},
        keep_base=False,
    )
    edit_config(
        directory,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv", "attn.proj",
                        "fc1", "fc2"],
        lora_dropout=0.05, task_type="CAUSAL_LM", use_dora=False, modules_to_save=None, rank_pattern={}, lora_alpha=6,
        megatron_core="megatron.core", qalora_group_size=16, base_model_name_or_path="somewhere",
    )  # fmt: skip
    model = make_model()
    load_adapter(model, directory)
    assert torch.equal(logits(model, row), logits(adapted, row))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: dict(list(tensors.items())[2:]), r"lacks 2 tensors \(base_model.model.model.layers.0.*\):"),
        (lambda tensors: tensors | {"stray": torch.zeros(1)}, r"has 1 tensor too many \(stray\): its tensors must"),
        (
            lambda tensors: {n: t.T.contiguous() if "0.attn.qkv.lora_A" in n else t for n, t in tensors.items()},
            r"of another shape \(.*qkv.lora_A.weight \[32, 4\] instead of \[4, 32\]\)",
        ),
        (
            lambda tensors: (
                tensors
                | {
                    n.replace(".visual", ".model.visual"): t.clone()
                    for n, t in tensors.items()
                    if "0.mlp.fc1.lora_A" in n
                }
            ),
            "under two names",
        ),
    ],
    ids=["missing", "extra", "misshapen", "twice"],
)
def test_tensors_that_do_not_fit_are_refused(directory: Path, model: Qwen2VL, edit: Edit, message: str) -> None:
    edit_tensors(directory, edit)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(model, directory)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())


def test_another_base_is_refused(directory: Path, make_model: MakeModel, tiny: Qwen2VLConfig) -> None:
    with pytest.raises(CheckpointError, match="was trained on other weights .*: give the checkpoint"):
        load_adapter(make_model(seed=1), directory)
    trained_on = make_model()
    with torch.no_grad():
        trained_on.model.layers[1].self_attn.q_proj.bias += 0.1
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        load_adapter(trained_on, directory)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_dora": True}, r"sets use_dora to true: only null or false"),
        ({"bias": "all"}, r'sets bias to "all": only "none" can be read'),
        ({"peft_type": "IA3"}, r'sets peft_type to "IA3": only "LORA"'),
        ({"modules_to_save": ["lm_head"]}, "sets modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "sets rank_pattern"),
        ({"r": 0}, "adapter's rank is 0: it must be"),
        ({"lora_alpha": None}, "adapter's alpha is None"),
        ({"target_modules": ".*q_proj"}, "adapter's targets are '.*q_proj': give a tuple"),
        ({"target_modules": ["q_proj", "w1"]}, "targets w1 match no linear layer of decoder: choose of q_proj"),
        ({"target_modules": ["w1"]}, "targets w1 match no linear layer of tower and decoder"),
        ({"target_modules": ["q_proj", 3]}, "adapter's targets are"),
    ],
)
def test_settings_of_peft_that_are_not_supported_are_refused(
    directory: Path, model: Qwen2VL, fields: dict[str, object], message: str
) -> None:
    edit_config(directory, **fields)
    with pytest.raises(ConfigError, match=f'adapter_config.json"?:? ?.*{message}'):
        load_adapter(model, directory)


def test_missing_and_damaged_files_are_refused(directory: Path, model: Qwen2VL, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="has no adapter_config.json: give the directory of an adapter"):
        load_adapter(model, tmp_path / "empty")
    (directory / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_adapter(model, directory)
    (directory / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no adapter_model.safetensors"):
        load_adapter(model, directory)
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (directory / "adapter_model.safetensors").touch()
    with pytest.raises(ConfigError, match="has no r: copy the file"):
        load_adapter(model, directory)


def test_saving_leaves_existing_files_unchanged(adapted: Qwen2VL, directory: Path) -> None:
    before = (directory / "adapter_model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="already holds files"):
        save_adapter(adapted, directory)
    assert (directory / "adapter_model.safetensors").read_bytes() == before
    assert [path.name for path in directory.parent.iterdir()] == ["adapter"]
