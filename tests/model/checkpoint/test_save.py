"""Saving and converting: a directory appears complete or not at all, and loads as the original, bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint import convert, load_model, save_checkpoint
from qwen2vl.model.checkpoint.names import tensor_table
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor, load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings

Edit = Callable[..., None]


def same_weights(one: Qwen2VL, other: Qwen2VL) -> bool:
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("max_shard_bytes", [10**9, 100_000])
def test_a_saved_model_loads_bit_for_bit(
    make_model: Callable[..., Qwen2VL], processor: Processor, tmp_path: Path, dtype: torch.dtype, max_shard_bytes: int
) -> None:
    model = make_model().to(dtype)
    save_checkpoint(model, processor, tmp_path / "a", max_shard_bytes=max_shard_bytes)
    loaded = load_model(tmp_path / "a", device="cpu", dtype=dtype)
    assert same_weights(loaded, model)
    assert loaded.config == model.config
    shards = list((tmp_path / "a").glob("*.safetensors"))
    assert (len(shards) > 3) == (max_shard_bytes < 10**9)
    largest = max(p.numel() for p in model.parameters()) * dtype.itemsize
    assert max(path.stat().st_size for path in shards) < max(max_shard_bytes, largest) + 20_000


def test_a_saved_directory_is_complete(saved: Path, model: Qwen2VL) -> None:
    assert {"config.json", "generation_config.json", "model.safetensors"} <= files(saved)
    assert {"preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"} <= files(saved)
    assert load_processor(saved).config == model.config
    tensors = load_file(saved / "model.safetensors")
    assert tensors["visual.patch_embed.proj.weight"].shape == (32, 3, 2, 14, 14)
    assert set(tensors) == {entry.name for entry in tensor_table(model)}
    generation = json.loads((saved / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 0, "pad_token_id": 0, "eos_token_id": [2, 0], "do_sample": False}
    config = json.loads((saved / "config.json").read_text())
    assert config["torch_dtype"] == "float32"
    assert "text_config" not in config


def test_a_model_can_be_saved_in_another_precision(model: Qwen2VL, processor: Processor, tmp_path: Path) -> None:
    save_checkpoint(model, processor, tmp_path / "a", dtype="bf16")
    stored = load_file(tmp_path / "a" / "model.safetensors")["model.norm.weight"]
    assert torch.equal(stored, model.model.norm.weight.bfloat16())
    assert json.loads((tmp_path / "a" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_existing_files_stay_unchanged(model: Qwen2VL, processor: Processor, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file where a directory is to be written"):
        save_checkpoint(model, processor, tmp_path / "file")
    with pytest.raises(CheckpointError, match="already holds files: choose a new or empty directory"):
        save_checkpoint(model, processor, saved)
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(model, processor, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"
    assert files(tmp_path) == {"file", "saved"}


def test_an_empty_directory_and_missing_parents_are_accepted(
    model: Qwen2VL, processor: Processor, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "new" / "deep" / "er"):
        save_checkpoint(model, processor, target)
        assert same_weights(load_model(target, device="cpu"), model)


class Failing:
    """A processor whose writing fails after a first file, as on a full disk."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def save(self, directory: str | Path) -> None:
        (Path(directory) / "tokenizer.json").write_text("{}")
        raise self.error


@pytest.mark.parametrize(
    ("error", "seen"), [(OSError(28, "No space left"), CheckpointError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_failed_save_leaves_nothing(
    model: Qwen2VL, tmp_path: Path, error: BaseException, seen: type[BaseException]
) -> None:
    with pytest.raises(seen):
        save_checkpoint(model, Failing(error), tmp_path / "a")
    assert files(tmp_path) == set()


def test_the_processor_of_another_model_is_refused(model: Qwen2VL, processor: Processor, tmp_path: Path) -> None:
    """Loading would take its pixel statistics for the model's, and every answer would be slightly wrong."""
    other = Processor(processor.tokenizer, model.config, MediaSettings(image_mean=(0.5, 0.5, 0.5)))
    with pytest.raises(CheckpointError, match=r"mean \(0.5, 0.5, 0.5\) .* are not the model's"):
        save_checkpoint(model, other, tmp_path / "a")
    assert files(tmp_path) == set()


def test_convert_writes_the_original_naming(saved: Path, model: Qwen2VL, edit: Edit, tmp_path: Path) -> None:
    names = {entry.name: entry.newer for entry in tensor_table(model)}
    edit(saved, lambda tensors: {names[name]: value for name, value in tensors.items()})
    (saved / "notes.txt").write_text("not part of a checkpoint")
    seen: list[tuple[int, int]] = []
    convert(saved, tmp_path / "out", max_shard_bytes=100_000, report=lambda *at: seen.append(at))
    assert same_weights(load_model(tmp_path / "out", device="cpu"), model)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(names)
    assert seen[-1] == (index["metadata"]["total_size"],) * 2
    assert len(seen) == len(names)
    kept = {"tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json"}
    assert all((tmp_path / "out" / name).read_bytes() == (saved / name).read_bytes() for name in kept)
    assert "notes.txt" not in files(tmp_path / "out")


def test_convert_changes_the_precision(saved: Path, model: Qwen2VL, tmp_path: Path) -> None:
    convert(saved, tmp_path / "half", dtype="bf16")
    convert(tmp_path / "half", tmp_path / "same")
    for name in ("half", "same"):
        loaded = load_model(tmp_path / name, device="cpu", dtype="bf16")
        assert same_weights(loaded, load_model(saved, device="cpu", dtype="bf16"))
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["torch_dtype"] == "bfloat16"


def test_convert_drops_the_copy_of_a_tied_head(
    make_model: Callable[..., Qwen2VL], tied: Qwen2VLConfig, processor: Processor, tmp_path: Path, edit: Edit
) -> None:
    save_checkpoint(make_model(tied), processor, tmp_path / "a")
    edit(tmp_path / "a", lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    convert(tmp_path / "a", tmp_path / "b")
    assert "lm_head.weight" not in load_file(tmp_path / "b" / "model.safetensors")


def test_convert_refuses_files_that_do_not_fit(saved: Path, edit_json: Edit, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="already holds files"):
        convert(saved, saved)
    edit_json(saved / "config.json", num_hidden_layers=1)
    with pytest.raises(CheckpointError, match="has 12 tensors too many"):
        convert(saved, tmp_path / "out")
    assert files(tmp_path) == {"saved"}


def test_the_mlp_ratio_of_the_tower_is_written_as_an_integer(saved: Path, tiny: Qwen2VLConfig) -> None:
    """transformers refuses 4.0 where it expects 4."""
    assert isinstance(json.loads((saved / "config.json").read_text())["vision_config"]["mlp_ratio"], int)
    assert replace(tiny.vision, mlp_ratio=4) == tiny.vision
