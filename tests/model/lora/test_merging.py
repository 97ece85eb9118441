"""Adapters merged into checkpoints: in memory, while converting, and only into the base that they were trained on."""

from pathlib import Path

import pytest
import torch

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint import convert, load_model, save_checkpoint
from qwen2vl.model.lora import LoraLinear, adapter_edit, add_adapter, load_merged, merge_adapter, save_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from tests.model.lora.conftest import EVERYWHERE, MakeModel, edit_tensors, fill_b, logits


class NoProcessor:
    """A processor that writes no files."""

    def save(self, directory: str | Path) -> None:
        pass


def test_a_model_with_an_unmerged_adapter_is_not_saved(adapted: Qwen2VL, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"has 80 tensors that its config does not ask for, first visual.*: fold its adapter in"
    ):
        save_checkpoint(adapted, NoProcessor(), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.fixture(params=["untied", "tied"])
def saved(
    request: pytest.FixtureRequest, make_model: MakeModel, tiny: Qwen2VLConfig, tied: Qwen2VLConfig, tmp_path: Path
) -> tuple[Path, Path, Qwen2VL]:
    """Directory of a checkpoint, directory of its adapter, and the model with the adapter, unmerged."""
    config = tied if request.param == "tied" else tiny
    model = make_model(config)
    save_checkpoint(model, Processor(build_nano_tokenizer(["red"]), config), tmp_path / "base", max_shard_bytes=100_000)
    add_adapter(model, EVERYWHERE, seed=0)
    save_adapter(fill_b(model), tmp_path / "learned")
    return tmp_path / "base", tmp_path / "learned", model


def test_a_converted_checkpoint_holds_the_merged_weights(
    saved: tuple[Path, Path, Qwen2VL], row: ModelInputs, tmp_path: Path
) -> None:
    base, adapter, model = saved
    convert(base, tmp_path / "out", edit=adapter_edit(base, adapter))
    exported = load_model(tmp_path / "out", device="cpu")
    torch.testing.assert_close(logits(exported, row), logits(model, row), atol=1e-5, rtol=0)
    assert [type(module) for module in exported.modules() if isinstance(module, LoraLinear)] == []
    merge_adapter(model)
    for (name, one), other in zip(model.named_parameters(), exported.parameters(), strict=True):
        assert torch.equal(one, other), name
    convert(base, tmp_path / "half", dtype="bf16", edit=adapter_edit(base, adapter))
    half = load_model(tmp_path / "half", device="cpu", dtype="bf16")
    for (name, one), other in zip(model.named_parameters(), half.parameters(), strict=True):
        assert torch.equal(one.bfloat16(), other), name


def test_a_model_loaded_with_an_adapter_answers_as_the_trained_one(
    saved: tuple[Path, Path, Qwen2VL], row: ModelInputs
) -> None:
    base, adapter, model = saved
    merged = load_merged(base, adapter, device="cpu", dtype="fp32")
    torch.testing.assert_close(logits(merged, row), logits(model, row), atol=1e-5, rtol=0)
    assert not merged.training
    plain = load_merged(base, device="cpu", dtype="fp32")
    assert not torch.allclose(logits(plain, row), logits(model, row), atol=0.1)


def test_a_wrong_adapter_is_refused_before_weights_are_read(saved: tuple[Path, Path, Qwen2VL]) -> None:
    base, adapter, _ = saved
    for shard in base.glob("*.safetensors*"):
        shard.unlink()
    edit_tensors(adapter, lambda tensors: tensors | {"stray": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="too many"):
        load_merged(base, adapter, device="cpu")


def test_merging_into_another_base_is_refused(
    saved: tuple[Path, Path, Qwen2VL], make_model: MakeModel, tmp_path: Path
) -> None:
    other = make_model(saved[2].config, seed=3)
    save_checkpoint(other, Processor(build_nano_tokenizer(["red"]), other.config), tmp_path / "other")
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        adapter_edit(tmp_path / "other", saved[1])
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        load_merged(tmp_path / "other", saved[1], device="cpu")
