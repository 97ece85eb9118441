"""nano's recipe: it reads all tasks; it trains from drawn records to a checkpoint that answers. micro is the same, larger."""

from dataclasses import replace

import pytest
import torch

from drawn_world import TASKS, draw
from drawn_world.registry import ALL_TASKS
from drawn_world.write_records import draw_records
from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.plan import Phase
from qwen2vl.data.store import Store
from qwen2vl.model.checkpoint import load_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.recipes import drawn_items, micro
from qwen2vl.recipes import nano as recipe
from qwen2vl.recipes.nano import AREAS, MEDIA, drawn_stages, mixture, nano, nano_processor
from qwen2vl.spec import is_run
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.export import export_run
from qwen2vl.training.run import train_run
from qwen2vl.training.run_directory import read_metrics
from qwen2vl.training.train_config import TrainConfig


def fonts_installed() -> bool:
    try:
        draw("read_word", 0)
    except Qwen2VLError:
        return False
    return True


needs_fonts = pytest.mark.skipif(
    not fonts_installed(), reason="fonts and words are not installed: scripts/install-fonts.sh"
)


def test_the_mixture_has_every_task_and_the_shares_of_its_areas():
    weights = mixture()
    assert {*TASKS} <= weights.keys() <= {*ALL_TASKS}
    assert sum(share for share, _ in AREAS) == 100
    for share, tasks in AREAS:
        assert sum(weights[task] for task in tasks) / sum(weights.values()) == pytest.approx(share / 100, abs=1e-3)


def test_single_skills_are_taught_first_and_every_task_is_read_afterwards():
    skills, everything, last = drawn_stages()
    assert {"@" in name for name in skills.sources} == {True}
    assert [phase.mixtures for phase in (*everything.phases, *last.phases)] == [(mixture(),)] * 2


@pytest.mark.parametrize("steps", [30_000, 16_000])
def test_the_rate_is_level_then_falls_once_and_the_tower_is_locked_at_the_end(steps):
    stages = drawn_stages(steps, rate=1.0)[1:]
    rates = [stage.learning_rates(step)["decoder"] for stage in stages for step in range(stage.steps)]
    assert len(rates) == steps
    assert rates[200 : 3 * steps // 4] == pytest.approx([1.0] * (3 * steps // 4 - 200))
    falls = [one - next for one, next in zip(rates[3 * steps // 4 :], rates[3 * steps // 4 + 1 :], strict=False)]
    assert falls == pytest.approx([4 / steps] * len(falls), rel=1e-2)
    assert [stage.rates.tower > 0 for stage in stages] == [True, False]


def test_a_leg_without_checkpoints_has_the_rates_of_the_later_steps():
    whole, rest = drawn_stages()[1:], drawn_stages(first_step=20_000)
    assert rest[0].steps == whole[0].steps - 20_000 and rest[1] == whole[1]
    for step in (20_300, 22_000, 28_000):
        rates = whole[0].learning_rates(step), rest[0].learning_rates(step - 20_000)
        assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_a_leg_cannot_begin_while_the_rate_falls():
    with pytest.raises(ConfigError, match="22500"):
        drawn_stages(first_step=25_000)


def test_tokenizer_and_model_fit():
    processor = nano_processor()
    assert processor.tokenizer.size <= NANO.text.vocab_size
    assert processor.settings == MEDIA
    for text in (" circle", " receipt", "✿FUNCTION", "✿:", '{"', "é", "ж"):
        assert len(processor.tokenizer.encode(text)) == 1, text
    assert len(processor.tokenizer.encode("harbor")) == 6  # words that no sentence has are spelled letter by letter


def test_sizes_of_nano_and_micro():
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in Qwen2VL(config).parameters()) for config in (NANO, micro.MICRO)]
    assert 8e6 < sizes[0] < 9e6
    assert 60e6 < sizes[1] < 80e6


def test_a_missing_store_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="there is no store.*data draw.*data build"):
        train_run(nano(store=tmp_path / "none"), tmp_path / "run", lambda line: None)


@needs_fonts
def test_larger_steps_need_more_records(monkeypatch):
    """The number of records follows from the packs of a step, their tokens, and the lengths of drawn items."""
    monkeypatch.setattr(drawn_items, "MEASURED_ITEMS", 2)
    stage = replace(drawn_stages()[1], steps=10, phases=(Phase(mixtures=({"shape_rows@1": 1},)),))
    mean = drawn_items.mean_tokens("shape_rows@1", nano_processor())
    needed = drawn_items.count_records([stage], nano_processor())
    assert needed == {"shape_rows@1": pytest.approx(10 * 2 * 4096 / mean, abs=1)}


@needs_fonts
def test_nano_trains_from_drawn_records_to_a_checkpoint(tmp_path, monkeypatch):
    """A few steps of every stage, with the functions that the documented commands call."""
    monkeypatch.setattr(drawn_items, "MEASURED_ITEMS", 1)
    some = {"read_word": 2, "scene_talk": 1, "motion_talk": 1}
    budgets = replace(recipe.BUDGETS, tokens=1024)
    shorter = tuple(
        replace(stage, steps=2, phases=(Phase(mixtures=(some,)),), budgets=budgets) for stage in drawn_stages()
    )
    monkeypatch.setattr(recipe, "drawn_stages", lambda first_step: shorter)
    monkeypatch.setattr(recipe, "TASKS", ("read_word", "motion"))
    needed = drawn_items.count_records(shorter, nano_processor(), 0.5)
    draw_records(tmp_path / "records", needed)
    build(
        sorted((tmp_path / "records").glob("*.jsonl")),
        BuildSettings(
            store=tmp_path / "store", tokenizer=nano_processor().tokenizer, media_root=None, media=MediaSettings()
        ),
    )
    assert {name: len(rows) for name, rows in Store(tmp_path / "store").sources.items()} == needed
    train = TrainConfig(validate_every=3, save_every=3)
    spec = nano(store=tmp_path / "store", validation_items=1, train=train)
    lines = []
    assert train_run(spec, tmp_path / "run", lines.append, num_workers=0, max_steps=3).steps == 3
    assert train_run(spec, tmp_path / "run", lines.append, num_workers=0).steps == 6
    assert [line["stage"] for line in lines] == [stage.name for stage in shorter for _ in range(2)]
    checks = [line for line in read_metrics(tmp_path / "run/metrics.jsonl") if "exact" in line]
    assert [check["step"] for check in checks] == [3, 6]
    assert set(checks[0]["exact"]) == {"read_word", "motion"}
    assert is_run(tmp_path / "run")
    assert export_run(tmp_path / "run", tmp_path / "export") == 6
    assert load_model(tmp_path / "export").config == NANO
