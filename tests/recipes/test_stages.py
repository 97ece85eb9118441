"""The paper's stages: built whole on the meta device, and one real step at reduced depth for each."""

import pytest
import torch

from qwen2vl.cli.main import main
from qwen2vl.common.errors import ConfigError
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import load_processor
from qwen2vl.recipes.stages import stage1, stage2, stage3
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.parts import count_parameters, part_of, set_trained
from qwen2vl.training.run import train_run
from qwen2vl.training.run_directory import read_metrics
from tests.data.conftest import build_store

RECIPES = {"stage1": stage1, "stage2": stage2, "stage3": stage3}
TRAINED = {
    "stage1": {"tower", "merger"},
    "stage2": {"tower", "merger", "decoder"},
    "stage3": {"merger", "decoder"},
}


@pytest.mark.parametrize("size", ["2b", "7b", "72b"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_size_is_built_on_the_meta_device(name, size):
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.named(size))
    (stage,) = RECIPES[name](size=size, tokenizer="nano").stages
    set_trained(model, stage.rates)
    counts = count_parameters(model)
    expected = num_parameters(Qwen2VLConfig.named(size))
    for part, (everything, trained) in counts.items():
        assert everything == expected[part]
        assert trained == (everything if part in TRAINED[name] else 0)


@pytest.mark.parametrize("name", RECIPES)
def test_videos_are_capped_as_in_the_paper(name):
    (stage,) = RECIPES[name](tokenizer="nano").stages
    assert stage.max_tokens == 16384
    (stage,) = RECIPES[name](tokenizer="nano", max_tokens=4096).stages
    assert stage.max_tokens == 4096


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("records"), load_processor("nano"), 4)


@pytest.mark.parametrize("name", RECIPES)
def test_one_real_step_at_the_width_of_2b(name, store, tmp_path, monkeypatch):
    """One layer of each kind at full width, with nano's words: 160 million weights."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    words = ["train", name, "--size", "2b", "--layers", "1", "--tokenizer", "nano", "--store", str(store.path)]
    words += ["--tokens", "256", "--visual-tokens", "64", "--packs-per-step", "1", "--max-steps", "1"]
    words += ["--train.recompute", "none", "--num-workers", "0", "--warmup-steps", "0"]
    assert main(words) == 0
    (line,) = [line for line in read_metrics(tmp_path / "runs" / name / "metrics.jsonl") if "loss" in line]
    assert set(line["learning_rate"]) == set(line["gradient_norm_by_part"]) == TRAINED[name]
    assert all(norm > 0 for norm in line["gradient_norm_by_part"].values())
    assert Checkpoints(tmp_path / "runs" / name / "checkpoints", 1).steps() == [1]
    assert part_of("visual.patch_embed.proj.weight") == "tower"


def test_another_vocabulary_gives_its_ids_to_the_model():
    config = stage1(tokenizer="nano").config
    tokenizer = load_processor("nano").tokenizer
    assert config.tokens == tokenizer.token_ids()
    assert tokenizer.size <= config.text.vocab_size < tokenizer.size + 128
    assert config.text.hidden_size == Qwen2VLConfig.named("2b").text.hidden_size


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "needs a tokenizer"),
        ({"tokenizer": "nano", "mixture": {"pairs": 0}}, "mixture"),
        ({"tokenizer": "nano", "steps": 0}, "steps is 0"),
        ({"model": "nano", "layers": 1}, "--layers 1 is for random weights"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, words, store, tmp_path):
    with pytest.raises(ConfigError, match=words):
        train_run(stage1(store=store.path, **changes), tmp_path, lambda line: None)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_an_unknown_source_names_the_sources_that_exist(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "stage2", "--tokenizer", "nano", "--store", str(store.path), "--mixture", "poems", "3"]
    assert main(words) == 2
    assert 'names "poems", the store holds' in capsys.readouterr().err
