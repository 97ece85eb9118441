"""Files of tensors: they read back as they were written, in one file or in shards; damaged ones are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint.tensor_files import (
    PendingTensor,
    list_tensors,
    shard,
    write_tensors,
)

INDEX = "model.safetensors.index.json"


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 5, generator=generator),
        "b": torch.randn(4, 2, 2, generator=generator).bfloat16(),
        "odd": torch.randn(7, generator=generator).half(),
        "c": torch.randn(9, generator=generator),
    }


def pending(values: dict[str, torch.Tensor]) -> list[PendingTensor]:
    return [
        PendingTensor(name=name, shape=tuple(value.shape), dtype=value.dtype, make=lambda value=value: value)
        for name, value in values.items()
    ]


@pytest.mark.parametrize("max_shard_bytes", [10**9, 100, 70, 1])
def test_written_tensors_read_back(tmp_path: Path, max_shard_bytes: int) -> None:
    values = tensors()
    write_tensors(tmp_path, pending(values), max_shard_bytes)
    stored = list_tensors(tmp_path)
    assert sorted(stored) == sorted(values)
    for name, value in values.items():
        assert (stored[name].shape, stored[name].dtype) == (tuple(value.shape), value.dtype)
        assert torch.equal(stored[name].read(), value)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert (files == ["model.safetensors"]) == (max_shard_bytes == 10**9) == (not (tmp_path / INDEX).exists())


def test_the_library_reads_our_files_and_its_metadata(tmp_path: Path) -> None:
    values = tensors()
    write_tensors(tmp_path, pending(values))
    loaded = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(loaded[name], value) for name, value in values.items())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_index_names_every_tensor_and_the_total(tmp_path: Path) -> None:
    write_tensors(tmp_path, pending(tensors()), 100)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 60 + 32 + 14 + 36
    assert index["weight_map"] == {
        "a.weight": "model-00001-of-00002.safetensors",
        "b": "model-00001-of-00002.safetensors",
        "odd": "model-00002-of-00002.safetensors",
        "c": "model-00002-of-00002.safetensors",
    }


def test_shards_are_cut_where_the_next_tensor_would_not_fit() -> None:
    def sized(num_bytes: int) -> PendingTensor:
        return PendingTensor(name="x", shape=(num_bytes // 4,), dtype=torch.float32, make=lambda: torch.zeros(0))

    cut = shard([sized(4 * n) for n in (3, 2, 4, 9)], 4 * 5)
    assert [[tensor.num_bytes // 4 for tensor in members] for members in cut] == [[3, 2], [4], [9]]


def test_progress_is_reported_up_to_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_tensors(tmp_path, pending(tensors()), 70, lambda done, total: seen.append((done, total)))
    assert seen == [(60, 142), (92, 142), (106, 142), (142, 142)]


def test_other_users_may_read_the_files(tmp_path: Path) -> None:
    """The library writes files of mode 0600, which only the user who converted a model could read."""
    write_tensors(tmp_path, pending(tensors()))
    usual = tmp_path / "usual"
    usual.write_text("")
    assert (tmp_path / "model.safetensors").stat().st_mode == usual.stat().st_mode


def test_reading_maps_no_more_than_the_tensor_at_hand(tmp_path: Path) -> None:
    """Pages of an open mapped file count as memory of the process: after reading 48 MB few may be left."""
    big = {f"t{i}": torch.zeros(1_000_000) for i in range(12)}
    write_tensors(tmp_path, pending(big))

    def mapped_kb() -> int:
        return int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0])

    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc on this system")
    before = mapped_kb()
    for stored in list_tensors(tmp_path).values():
        assert stored.read().sum() == 0
        assert mapped_kb() - before < 16_000


def refused(directory: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        list_tensors(directory)
    return str(error.value)


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert "neither model.safetensors nor" in refused(tmp_path)
    assert "pickled ones are not read" in refused(tmp_path)


def test_two_sets_of_weights_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path, pending(tensors()), 100)
    write_tensors(tmp_path, pending(tensors()))
    assert "holds both model.safetensors and" in refused(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content + b"x",
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
    ids=["empty", "cut", "longer", "pointer"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_tensors(tmp_path, pending(tensors()))
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert "cannot be read as safetensors" in refused(tmp_path)
    assert "copy it again" in refused(tmp_path)


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert "model.safetensors" in refused(tmp_path)


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path, pending(tensors()), 100)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert 'model-00002-of-00002.safetensors" is missing although the index names it' in refused(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a.weight": "model-00002-of-00002.safetensors"}, "disagree about 2 tensors, first a.weight"),
        ({"new": "model-00001-of-00002.safetensors"}, "disagree about 1 tensors, first new in model-00001"),
        ({"c": "../c.safetensors"}, 'names the file "../c.safetensors": it must be a plain name of a file there'),
        ({"c": 3}, "names the file 3"),
    ],
)
def test_an_index_that_disagrees_with_the_files_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_tensors(tmp_path, pending(tensors()), 100)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"] |= change
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert message in refused(tmp_path)


def test_an_index_without_a_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text("{}")
    assert "has no weight_map" in refused(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path, pending(tensors()), 100)
    first = tmp_path / "model-00001-of-00002.safetensors"
    save_file(load_file(first) | {"c": torch.zeros(9)}, first, metadata={"format": "pt"})
    assert "disagree about 1 tensors, first c in model-00001" in refused(tmp_path)


def test_quantised_tensors_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3, dtype=torch.int8)}, tmp_path / "model.safetensors")
    assert "stores x as I8, this program reads F32, BF16, F16" in refused(tmp_path)


def test_shard_size_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="max_shard_bytes is 0"):
        write_tensors(tmp_path, pending(tensors()), 0)
