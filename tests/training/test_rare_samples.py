"""A few rare records among many equal ones are learnt: the guard must not take what is left to learn for spikes."""

import json
from pathlib import Path

import pytest

from qwen2vl import Chat
from qwen2vl.cli.main import main

IMAGES = Path(__file__).parent / "images"
EASY, RARE = "Is the part fine?", "Is the part fine? It is crooked."


@pytest.fixture
def records(tmp_path) -> Path:
    """114 equal records and 6 equal rare ones, in LLaVA's form."""
    asked = [("straight.png", EASY, "yes")] * 114 + [("crooked.jpg", RARE, "no")] * 6
    entries = []
    for number, (image, question, answer) in enumerate(asked):
        turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
        entries.append({"id": str(number), "image": str(IMAGES / image), "conversations": turns})
    (tmp_path / "my.json").write_text(json.dumps(entries))
    return tmp_path / "my.json"


def test_the_rare_question_is_answered_right(records, tmp_path, capsys):
    """Judged by ten times the median loss, 7 of these 115 steps were skipped, and the answer was "do"."""
    words = ["train", "finetune", "--model", "nano", "--data", str(records), "--run-dir", str(tmp_path / "run")]
    words += ["--tokens", "256", "--packs-per-step", "1", "--epochs", "4", "--rate", "3e-4", "--num-workers", "0"]
    assert main(words) == 0
    assert " steps done, no step skipped, in " in capsys.readouterr().err.splitlines()[-1]
    assert main(["convert", str(tmp_path / "run"), "--out", str(tmp_path / "export")]) == 0
    chat = Chat(tmp_path / "export")
    assert chat.ask(EASY, images=[IMAGES / "straight.png"]).text == "yes"
    assert chat.ask(RARE, images=[IMAGES / "crooked.jpg"]).text == "no"
