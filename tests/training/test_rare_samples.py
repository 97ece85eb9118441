"""A few rare records among many equal ones are learnt: the guard must not take what is left to learn for spikes."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from qwen2vl import Chat
from qwen2vl.cli.main import main

EASY, RARE = "Is the part fine?", "Is the part fine? It is crooked."


@pytest.fixture
def records(tmp_path) -> Path:
    """76 equal records and 4 rare ones in LLaVA's form, each with its own image."""
    for name, corners in (("straight.png", (30, 20, 90, 80)), ("crooked.png", (20, 50, 110, 60))):
        image = Image.new("RGB", (128, 96), "white")
        ImageDraw.Draw(image).rectangle(corners, fill="navy")
        image.save(tmp_path / name)
    asked = [("straight.png", EASY, "yes")] * 76 + [("crooked.png", RARE, "no")] * 4
    entries = []
    for number, (image, question, answer) in enumerate(asked):
        turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
        entries.append({"id": str(number), "image": image, "conversations": turns})
    (tmp_path / "my.json").write_text(json.dumps(entries))
    return tmp_path / "my.json"


def test_the_rare_question_is_answered_right(records, tmp_path, capsys):
    words = ["train", "finetune", "--model", "nano", "--data", str(records), "--run-dir", str(tmp_path / "run")]
    words += ["--tokens", "256", "--packs-per-step", "1", "--epochs", "4", "--rate", "3e-4", "--num-workers", "0"]
    assert main(words) == 0
    assert " steps done, no step skipped, in " in capsys.readouterr().err.splitlines()[-1]
    assert main(["convert", str(tmp_path / "run"), "--out", str(tmp_path / "export")]) == 0
    chat = Chat(tmp_path / "export")
    assert chat.ask(EASY, images=[tmp_path / "straight.png"]).text == "yes"
    assert chat.ask(RARE, images=[tmp_path / "crooked.png"]).text == "no"
