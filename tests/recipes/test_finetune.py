"""The commands of docs/finetune.md, on a tiny checkpoint that transformers wrote and a file in LLaVA's form."""

import json
import re
import shlex
import shutil
import tomllib
from collections import Counter
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qwen2vl.cli.main import main
from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data.plan import Cursor
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.checkpoint import load_model, save_checkpoint
from qwen2vl.model.init import new_model
from qwen2vl.recipes.finetune import finetune
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.training.run import train_run
from qwen2vl.training.run_data import complete_stages, open_run_data
from qwen2vl.training.run_directory import read_metrics
from qwen2vl.training.run_spec import RecordsFile, StoredRecords

PAGE = Path(__file__).resolve().parents[2] / "docs" / "finetune.md"
FRUITS = {"pear": (40, 200, 40), "cherry": (200, 0, 40), "plum": (90, 0, 160)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, taught_processor) -> Path:
    """Random weights in the layout that transformers writes today."""
    transformers = pytest.importorskip("transformers", minversion="5.23")
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(new_model(taught_processor.config, 3), taught_processor, folder / "ours")
    model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(folder / "ours")
    model.save_pretrained(folder / "theirs")
    taught_processor.save(folder / "theirs")
    return folder / "theirs"


@pytest.fixture
def records(tmp_path) -> Path:
    """24 images of three colours, in one JSON list."""
    entries = []
    for number in range(24):
        name = list(FRUITS)[number % 3]
        noise = np.random.default_rng(number).integers(-20, 20, (56, 56, 3))
        pixels = (np.array(FRUITS[name]) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number + 1}.png")
        turns = [{"from": "human", "value": "<image>\nWhich fruit?"}, {"from": "gpt", "value": f"a {name}"}]
        entries.append({"id": str(number), "image": f"{number + 1}.png", "conversations": turns})
    (tmp_path / "my.json").write_text(json.dumps(entries))
    return tmp_path / "my.json"


def commands(section: str) -> list[list[str]]:
    """Commands of a section of the page."""
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return [shlex.split(line.strip())[1:] for line in re.findall(r"^    qwen2vl .*$", text, re.MULTILINE)]


SMALL = ["--steps", "24", "--tokens", "256", "--packs-per-step", "1", "--held-out", "0.1"]
SMALL += ["--train.precision", "fp32", "--num-workers", "0"]


def run_page(section, checkpoint, monkeypatch, folder, capsys, rate="5e-3") -> str:
    monkeypatch.chdir(folder)
    for words in commands(section):
        words = [str(checkpoint) if word == "CHECKPOINT" else word for word in words]
        more = (
            [*SMALL, "--rate", rate] if words[0] == "train" else ["--max-new-tokens", "8"] if words[0] == "chat" else []
        )
        assert main(words + more) == 0, words
    return capsys.readouterr().out


@pytest.mark.parametrize("section", ["All weights", "Adapters (LoRA)"])
def test_the_example_of_the_page_changes_the_answer(monkeypatch, tmp_path, capsys, section):
    """One record, no option but those on the page: one step of 4 packs used to leave the answer as it was."""
    (example,) = re.findall(r"^\{.*\"conversations\".*\}$", PAGE.read_text(), re.MULTILINE)
    (tmp_path / "my.json").write_text(example + "\n")
    Image.new("RGB", (112, 112), FRUITS["pear"]).save(tmp_path / "1.png")
    monkeypatch.chdir(tmp_path)
    assert main(["chat", "--image", "1.png", "Which fruit?"]) == 0
    assert capsys.readouterr().out != "A pear.\n"
    for words in commands(section):
        if words[0] != "report":  # draws, in test_all_weights
            assert main(["nano" if word == "CHECKPOINT" else word for word in words]) == 0, words
    out, err = capsys.readouterr()
    assert "finetune: 1 samples, 60 epochs, 60 steps, 1 samples a step" in err
    assert "A pear." in out.splitlines()


def falls(folder: Path) -> bool:
    losses = [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
    return len(losses) == 24 and losses[-1] < 0.5 * losses[0]


def test_all_weights(checkpoint, records, monkeypatch, tmp_path, capsys):
    transformers = pytest.importorskip("transformers", minversion="5.23")
    run_page("All weights", checkpoint, monkeypatch, tmp_path, capsys)
    assert falls(tmp_path / "runs/mine")
    held_out = [line for line in read_metrics(tmp_path / "runs/mine/metrics.jsonl") if "validation_loss" in line]
    assert held_out[-1]["step"] == 24
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        tmp_path / "runs/mine-export", dtype=torch.float32
    )
    before = load_model(checkpoint)
    ours = load_model(tmp_path / "runs/mine-export")
    row = ModelInputs(
        ids=torch.arange(14, 20),
        positions=torch.arange(6).expand(3, 6),
        segments=torch.tensor([0, 6], dtype=torch.int32),
        patches=torch.zeros(0, 1176),
        grids=torch.zeros(0, 3, dtype=torch.int64),
    )
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(input_ids=row.ids[None]).logits[0].float(), ours(row).logits, atol=2e-4, rtol=1e-4
        )
    assert torch.equal(before.visual.patch_embed.proj.weight.bfloat16(), ours.visual.patch_embed.proj.weight.bfloat16())
    assert not torch.equal(before.model.norm.weight, ours.model.norm.weight)


def test_adapters(taught_directory, records, monkeypatch, tmp_path, capsys):
    """On a trained model: an adapter of low rank teaches random weights little."""
    run_page("Adapters (LoRA)", taught_directory, monkeypatch, tmp_path, capsys, rate="1e-2")
    assert falls(tmp_path / "runs/lora")
    before, after = load_model(taught_directory), load_model(tmp_path / "runs/lora-export")
    assert not torch.equal(before.model.layers[0].mlp.up_proj.weight, after.model.layers[0].mlp.up_proj.weight)
    assert torch.equal(before.visual.merger.mlp[0].weight, after.visual.merger.mlp[0].weight)
    saved = sum(file.stat().st_size for file in (tmp_path / "runs/lora/checkpoints/step-24").iterdir())
    assert saved < 20 * sum(file.stat().st_size for file in (tmp_path / "runs/lora/adapter").iterdir())
    assert main(["convert", "runs/lora", "--out", "elsewhere"]) == 2
    assert "--adapter runs/lora/adapter" in capsys.readouterr().err


def test_a_run_with_adapters_resumes_bit_for_bit(checkpoint, records, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    train = ["train", "finetune", "--model", str(checkpoint), "--data", "my.json", "--lora-rank", "4", *SMALL]
    assert main([*train, "--run-dir", "whole"]) == 0
    for steps in ("5", "24"):
        assert main([*train, "--run-dir", "parts", "--max-steps", steps]) == 0
    curves = [
        [
            (line["step"], line["loss"], line["plan_digest"])
            for line in read_metrics(Path(name) / "metrics.jsonl")
            if "loss" in line
        ]
        for name in ("whole", "parts")
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--data is missing"),
        (["--data", "nowhere.json"], "there is no file"),
        (["--data", "my.json", "--model", "nowhere"], "nowhere"),
        (["--data", "my.json", "--tokens", "8"], "raise --tokens"),
        (["--data", "my.json", "--rate", "-1"], "none may be below 0"),
        (["--data", "my.json", "--epochs", "0"], "--epochs is 0: it must be over 0"),
        (["--data", "my.json", "--max-steps", "0"], "--max-steps is 0: it must be at least 1"),
        (["--data", "my.json", "--rate", "0"], "at least one must be above 0"),
        (["--data", "my.json", "--batch", "0"], "--batch is 0: it must be at least 1"),
        (["--data", "my.json", "--bogus", "1"], "--bogus is not an option"),
    ],
)
def test_wrong_input_is_one_sentence(checkpoint, records, monkeypatch, tmp_path, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    base = [] if "--model" in words else ["--model", str(checkpoint)]
    assert main(["train", "finetune", *base, *words, "--num-workers", "0", "--run-dir", "run"]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_weights_that_do_not_match_the_config_are_refused_before_anything_starts(checkpoint, records, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    config = json.loads((broken / "config.json").read_text())
    where = config.get("text_config", config)
    where["num_hidden_layers"] += 1
    (broken / "config.json").write_text(json.dumps(config))
    spec = finetune(model=str(broken), data=records)
    with pytest.raises(Qwen2VLError, match="layers"):
        train_run(spec, tmp_path / "run", lambda line: None, num_workers=0)
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_the_recipe_builds_nothing_and_the_run_builds_the_store(checkpoint, records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    spec = finetune(model=str(checkpoint), data=records, epochs=2.0, held_out=0.0)
    assert set(tmp_path.rglob("*")) == before
    assert spec.records == RecordsFile(path=records)
    assert spec.stages.epochs == 2.0
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"
    data = open_run_data(spec, tmp_path / "run", Replicas())
    assert len(data.store) == 24
    (stage,) = data.stages
    assert stage.phases[0].mixtures == ({"my": 24},)
    stored = finetune(model=str(checkpoint), data=tmp_path / "run" / "store", epochs=2.0, held_out=0.0)
    assert stored.records == StoredRecords(path=tmp_path / "run" / "store")
    assert complete_stages(stored, data.store) == data.stages


@pytest.mark.parametrize("settings", [{}, {"packs_per_step": 1}, {"batch": 5}])
def test_four_epochs_read_every_record_four_times(checkpoint, records, tmp_path, settings):
    spec = finetune(model=str(checkpoint), data=records, epochs=4.0, tokens=64, held_out=0.0, **settings)
    data = open_run_data(spec, tmp_path / "run", Replicas())
    (stage,) = data.stages
    read, cursor = Counter(), Cursor()
    for _ in range(stage.steps):
        packs, cursor = data.selections[stage.name].plan.step(cursor)
        read.update(sample for pack in packs for sample in pack.samples)
    assert len(read) == 24
    assert set(read.values()) == {4}


def test_a_recipe_without_data_is_refused():
    with pytest.raises(ConfigError, match="--data is missing"):
        finetune()


def test_rejected_records_are_counted_listed_and_limited(checkpoint, records, monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    entries = json.loads(records.read_text())
    entries[3]["image"] = "nowhere.png"
    entries[5]["weight"] = 2
    records.write_text(json.dumps(entries))
    plan = ["plan", "finetune", "--model", str(checkpoint), "--data", "my.json", "--run-dir", "run"]
    assert main(plan) == 2
    refusal = "2 of 24 records cannot be used, over the limit of 5% (--max-rejected); all are listed in run/store/rejected.jsonl"
    assert refusal in capsys.readouterr().err
    listed = [json.loads(line) for line in Path("run/store/rejected.jsonl").read_text().splitlines()]
    assert [(entry["id"], entry["field"]) for entry in listed] == [("3", "media[0]"), ("5", "weight")]
    assert main([*plan, "--max-rejected", "0.1"]) == 0
    assert (
        "2 of 24 records cannot be used; all are listed in run/store/rejected.jsonl; one of them: my.json"
        in caplog.text
    )
    assert "finetune: 22 samples" in capsys.readouterr().out
    assert main([*plan, "--max-rejected", "2"]) == 2
    assert "--max-rejected is 2.0: it must be a share from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--lora-rank", "2"]])
def test_the_last_line_of_a_run_names_commands_that_work(
    taught_directory, records, monkeypatch, tmp_path, capsys, more
):
    monkeypatch.chdir(tmp_path)
    train = ["train", "finetune", "--model", str(taught_directory), "--data", "my.json", "--run-dir", "my run", *more]
    assert main([*train, "--steps", "1", "--num-workers", "0"]) == 0
    line = capsys.readouterr().err.splitlines()[-1]
    named = [shlex.split(text)[1:] for text in re.findall(r"qwen2vl (?:convert|chat)[^;,]*", line)]
    assert [words[0] for words in named] == (["chat", "convert"] if more else ["convert"])
    for words in named:
        ending = ["--max-new-tokens", "1", "Where?"] if words[0] == "chat" else []
        assert main([word.replace("DIR", "out") for word in words] + ending) == 0, words


def test_the_page_installs_what_its_commands_need():
    extras = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"qwen2vl\[(\w+)\]", PAGE.read_text())
    installed = {re.match(r"[\w-]+", each)[0] for name in named for each in extras[name]}
    assert {"pyarrow", "matplotlib"} <= installed, "train needs pyarrow, report draws with matplotlib"


@pytest.mark.parametrize(("own", "given", "expected"), [(None, None, 16384), (1024, None, 1024), (1024, 2048, 2048)])
def test_videos_are_capped(own, given, expected, tmp_path, taught_processor):
    """At the checkpoint's own limit, or as in the paper's training if it has none; the export answers with the same cap."""
    settings = taught_processor.settings.with_limits(None, None, own)
    model = new_model(taught_processor.config, 3)
    save_checkpoint(model, taught_processor.with_settings(settings), tmp_path / "base")
    spec = finetune(model=str(tmp_path / "base"), data=tmp_path / "my.json", max_tokens=given)
    assert spec.stages.max_tokens == spec.processor.settings.video_max_tokens == expected
