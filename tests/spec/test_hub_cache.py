"""Hub ids and the local cache, in a folder of the test; nothing is downloaded."""

from pathlib import Path

import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.spec import PACKAGED_NANO, resolve_source
from qwen2vl.spec.config import Qwen2VLConfig

ID = "Qwen/Qwen2-VL-2B-Instruct"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def add_snapshot(cache, name, is_main=False, hub_id=ID, weights="there"):
    """A snapshot as the cache has it: files are links to blobs."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot, blobs = repository / "snapshots" / name, repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir(exist_ok=True)
    (blobs / f"config-{name}").write_bytes((PACKAGED_NANO / "config.json").read_bytes())
    (snapshot / "config.json").symlink_to(blobs / f"config-{name}")
    if weights == "there":
        (blobs / f"weights-{name}").touch()
    if weights:
        (snapshot / "model.safetensors").symlink_to(blobs / f"weights-{name}")
    if is_main:
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(name)
    return snapshot


def test_a_hub_id_is_its_copy_in_the_cache(cache):
    add_snapshot(cache, "older")
    main = add_snapshot(cache, "main", is_main=True)
    add_snapshot(cache, "newer")
    assert resolve_source(ID) == main
    assert Qwen2VLConfig.load(ID).text == Qwen2VLConfig.load("nano").text
    assert resolve_source(cache / "models--Qwen--Qwen2-VL-2B-Instruct") == main, "the folder of a repository"


@pytest.mark.parametrize("weights", [None, "still fetched"])
def test_an_incomplete_copy_is_not_used(cache, weights):
    add_snapshot(cache, "broken", is_main=True, weights=weights)
    with pytest.raises(ConfigError, match="no complete copy"):
        resolve_source(ID)
    whole = add_snapshot(cache, "whole")
    assert resolve_source(ID) == whole


def test_without_a_copy_the_message_says_how_to_download_it(cache):
    with pytest.raises(ConfigError) as error:
        Qwen2VLConfig.load(ID)
    assert f"hf download {ID}" in str(error.value)
    assert str(cache) in str(error.value)


def test_a_directory_goes_before_a_hub_id(cache, tmp_path):
    add_snapshot(cache, "one", is_main=True)
    (tmp_path / ID).mkdir(parents=True)
    assert str(resolve_source(ID)) == ID


@pytest.mark.parametrize("source", ["nowhere", "a/b/c", "./a/b", "../b", "/a/b", "-a/b", ""])
def test_other_texts_are_paths(cache, source):
    assert resolve_source(source) == Path(source)


def test_the_cache_is_where_the_environment_says(cache, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE")
    for name, folder in (("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"), ("HUGGINGFACE_HUB_CACHE", "")):
        monkeypatch.setenv(name, str(tmp_path / name))
        snapshot = add_snapshot(tmp_path / name / folder, "one", is_main=True)
        assert resolve_source(ID) == snapshot
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    snapshot = add_snapshot(tmp_path / ".cache" / "huggingface" / "hub", "one", is_main=True)
    assert resolve_source(ID) == snapshot
