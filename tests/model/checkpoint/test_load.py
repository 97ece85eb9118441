"""Loading: device, precision, memory, and checkpoints that do not fit their config."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint import load, load_model, save_checkpoint
from qwen2vl.model.checkpoint.load import choose_device, choose_dtype
from qwen2vl.model.checkpoint.names import tensor_table
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs

Edit = Callable[..., None]
CPU = torch.device("cpu")


def same_weights(one: Qwen2VL, other: Qwen2VL) -> bool:
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_a_cpu_loads_a_small_model_in_fp32_and_eval_mode(saved: Path, model: Qwen2VL) -> None:
    loaded = load_model(saved, device="cpu")
    assert same_weights(loaded, model)
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded.dtype == torch.float32
    assert loaded.device == CPU
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("dtype", ["bf16", torch.bfloat16])
def test_the_given_precision_is_used(saved: Path, model: Qwen2VL, dtype: str | torch.dtype) -> None:
    loaded = load_model(saved, device="cpu", dtype=dtype)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert torch.equal(loaded.model.norm.weight, model.model.norm.weight.bfloat16())


def test_weights_do_not_depend_on_the_file_any_more(saved: Path, make_row: Callable[..., ModelInputs]) -> None:
    """The file may be changed or removed after the model is loaded."""
    loaded, row = load_model(saved, device="cpu"), make_row([6])
    with torch.inference_mode():
        before = loaded(row).logits
        path = saved / "model.safetensors"
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
        path.unlink()
        assert torch.equal(loaded(row).logits, before)


def test_the_newer_naming_loads(saved: Path, model: Qwen2VL, edit: Edit) -> None:
    names = {entry.name: entry.newer for entry in tensor_table(model)}
    edit(saved, lambda tensors: {names[name]: value for name, value in tensors.items()})
    assert same_weights(load_model(saved, device="cpu"), model)


def test_a_tied_model_has_one_parameter_for_head_and_embedding(
    make_model: Callable[..., Qwen2VL], tied: Qwen2VLConfig, processor: Processor, tmp_path: Path
) -> None:
    save_checkpoint(make_model(tied), processor, tmp_path / "tied")
    loaded = load_model(tmp_path / "tied", device="cpu")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_the_stored_head_of_a_tied_model_must_be_a_copy(
    make_model: Callable[..., Qwen2VL], tied: Qwen2VLConfig, processor: Processor, tmp_path: Path, edit: Edit
) -> None:
    model = make_model(tied)
    save_checkpoint(model, processor, tmp_path / "tied")
    edit(tmp_path / "tied", lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    assert same_weights(load_model(tmp_path / "tied", device="cpu"), model)
    edit(tmp_path / "tied", lambda tensors: tensors | {"lm_head.weight": tensors["lm_head.weight"] + 1})
    with pytest.raises(CheckpointError, match=r"holds a lm_head\.weight that differs from model\.embed_tokens\.weight"):
        load_model(tmp_path / "tied", device="cpu")


def without_norm(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.norm.weight"]


def with_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.more"] = torch.zeros(2)


def misshapen(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"] = torch.zeros(63)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_norm, r"lacks 1 tensor \(model.norm.weight\)"),
        (with_more, r"has 1 tensor too many \(model.more\)"),
        (misshapen, r"has 1 tensor of another shape \(model.norm.weight \[63\] instead of \[64\]\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    saved: Path, edit: Edit, change: Callable[..., None], message: str
) -> None:
    edit(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_model(saved, device="cpu")


def test_the_config_of_another_size_is_refused(saved: Path, edit_json: Edit) -> None:
    edit_json(saved / "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match=r"lacks 12 tensors \(model.layers.2.input_layernorm.weight, "):
        load_model(saved, device="cpu")


def test_the_config_of_another_kind_of_model_is_refused(saved: Path, edit_json: Edit) -> None:
    edit_json(saved / "config.json", model_type="llava")
    with pytest.raises(ConfigError, match='of a "llava" model'):
        load_model(saved, device="cpu")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mrope_section": [2, 3, 3]}}, 'rope type "yarn"'),
        ({"vision_config": {"rope_parameters": {"rope_theta": 500.0}}}, "vision rope_theta 500.0"),
        ({"vision_config": {"hidden_act": "gelu"}}, 'vision hidden_act "gelu"'),
        ({"surprise": 1}, "does not know: surprise"),
    ],
)
def test_settings_that_would_change_the_numbers_are_refused(
    saved: Path, edit_json: Edit, fields: dict[str, object], message: str
) -> None:
    edit_json(saved / "config.json", **fields)
    with pytest.raises(ConfigError, match=message):
        load_model(saved, device="cpu")


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no readable config\.json"):
        load_model(tmp_path / "nowhere", device="cpu")


def test_loading_needs_config_and_tensors_only(saved: Path, model: Qwen2VL) -> None:
    for path in saved.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    assert same_weights(load_model(saved, device="cpu"), model)


def test_a_model_too_large_is_refused_before_reading(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (saved / "model.safetensors").write_bytes(b"never looked at")
    monkeypatch.setattr(load, "free_bytes", lambda device: 100_000)
    with pytest.raises(CheckpointError, match=r"needs 0.00 GB as float32, but cpu has 0.00 GB free: .*, bf16 or"):
        load_model(saved, device="cpu")


def test_the_memory_needed_by_published_sizes_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "free_bytes", lambda device: 16_000_000_000)
    load.refuse_too_large(Qwen2VLConfig.named("2b"), torch.float32, CPU)
    with pytest.raises(CheckpointError, match=r"needs 16\.58 GB as bfloat16, but cpu has 16\.00 GB free"):
        load.refuse_too_large(Qwen2VLConfig.named("7b"), torch.bfloat16, CPU)


def test_free_memory_of_this_machine_is_plausible() -> None:
    free = load.free_bytes(CPU)
    assert free is None or 10**6 < free < 10**14


def test_the_default_precision_depends_on_size_and_device() -> None:
    nano, small = Qwen2VLConfig.named("nano"), Qwen2VLConfig.named("2b")
    assert choose_dtype(None, nano, CPU) == torch.float32
    assert choose_dtype(None, small, CPU) == torch.bfloat16
    assert choose_dtype(None, nano, torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("fp32", small, torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("dtype", ["fp16", torch.float16])
def test_fp16_is_refused_unless_forced(saved: Path, dtype: str | torch.dtype) -> None:
    with pytest.raises(ConfigError, match="fp16 is refused: activations of this model pass 65,504"):
        load_model(saved, device="cpu", dtype=dtype)
    assert load_model(saved, device="cpu", dtype=dtype, force_fp16=True).dtype == torch.float16


@pytest.mark.parametrize("dtype", ["int8", "float", "", torch.int64, torch.float64])
def test_an_unknown_precision_is_refused(dtype: str | torch.dtype, tiny: Qwen2VLConfig) -> None:
    with pytest.raises(ConfigError, match='is unknown: give "fp32" or "bf16"'):
        choose_dtype(dtype, tiny, CPU)


@pytest.mark.parametrize("device", ["gpu", "", "meta", "cuda:99", "cpu:x"])
def test_a_device_that_this_machine_lacks_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=f'device "{device}"'):
        choose_device(device)


def test_the_default_device_is_the_gpu_if_there_is_one() -> None:
    assert choose_device(None).type == ("cuda" if torch.cuda.device_count() else "cpu")


def test_the_one_axis_setting_is_saved_and_loaded(
    make_model: Callable[..., Qwen2VL], tiny: Qwen2VLConfig, processor: Processor, tmp_path: Path
) -> None:
    ablation = replace(tiny, text=replace(tiny.text, rope="1d"))
    save_checkpoint(make_model(ablation), processor, tmp_path / "one")
    assert load_model(tmp_path / "one", device="cpu").config.text.rope == "1d"
