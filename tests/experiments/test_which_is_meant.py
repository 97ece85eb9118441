"""Which shape a box surrounds: the one that was asked for, another one, or none."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import which_is_meant
from qwen2vl.processing.grounding import parse_places
from tools import study_tables


def test_a_box_belongs_to_the_shape_whose_middle_is_near() -> None:
    middles = [(30.0, 30.0), (90.0, 60.0)]

    def whose(*box_px: float) -> str | None:
        return which_is_meant.whose([SimpleNamespace(xyxy_px=box_px)], middles)

    assert whose(20, 20, 40, 40) == whose(10, 10, 25, 60) == "right"
    assert whose(80, 50, 100, 70) == "another's"
    assert whose(50, 20, 70, 40) is whose(20, 50, 40, 70) is None
    assert which_is_meant.whose([], middles) is None


def test_every_model_is_asked_and_gets_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answering:
        """A model that knows the right answer, or no answer."""

        def __init__(self, model: str) -> None:
            self.knows = model == "runs/knows"

        def batch(self, conversations: Sequence[Any], **sampling: Any) -> list[SimpleNamespace]:
            asked = [which_is_meant.question(number) for number in range(len(conversations))]
            return [
                SimpleNamespace(boxes=parse_places(item.answer if self.knows else "?", [scene.size]).boxes)
                for scene, item in asked
            ]

    monkeypatch.setattr(which_is_meant, "Chat", Answering)
    out = tmp_path / "found.json"
    assert which_is_meant.main(["runs/knows", "blind", "--items", "40", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    for model, right in (("knows", 40), ("blind", 0)):
        counts = result["models"][model].values()
        assert (sum(each["boxes"] for each in counts), sum(each["right"] for each in counts)) == (40, right)
    rows = study_tables.which_is_meant({"which_is_meant": result}).splitlines()
    assert rows[2].startswith("| `knows` | 100% (")
    assert rows[3].startswith("| `blind` | 0% (0% to ")
    assert "experiments.which_is_meant" in study_tables.which_is_meant({})
