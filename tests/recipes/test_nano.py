"""nano's recipe: the curriculum covers the three stages; it trains from drawn records to a checkpoint that answers."""

from dataclasses import replace

import pytest

from drawn_world import FIRST_TASKS, LESSONS, draw
from drawn_world.write_records import draw_records
from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.plan import Phase
from qwen2vl.data.store import Store
from qwen2vl.model.checkpoint import load_model
from qwen2vl.recipes import drawn_items
from qwen2vl.recipes import nano as recipe
from qwen2vl.recipes.curriculum import phases_between
from qwen2vl.recipes.nano import CURRICULUM, FIRST_NANO, MEDIA, STAGES, nano, nano_processor
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.export import export_run, is_run
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


def test_the_curriculum_covers_the_run_with_known_tasks():
    ends = [lessons.until for lessons in CURRICULUM]
    assert ends == sorted(ends)
    assert ends[-1] == sum(stage.steps for stage in STAGES)
    assert {task for lessons in CURRICULUM for mix in lessons.mixes for task in mix.weights} <= {*FIRST_TASKS, *LESSONS}
    assert set(FIRST_TASKS) <= {task for mix in CURRICULUM[-1].mixes for task in mix.weights}


def test_stages_cut_the_curriculum_without_a_gap():
    """Step by step, the phases of the stages hold the mixtures of the whole curriculum."""
    end = CURRICULUM[-1].until
    (whole,) = [replace(STAGES[0], steps=end, phases=phases_between(0, end, CURRICULUM)).plan_config(0)]
    step = 0
    for stage in STAGES:
        config = stage.plan_config(0)
        for local in range(0, stage.steps, 7):
            mixtures = next(phase for phase in stage.phases if phase.until is None or local < phase.until).mixtures
            assert config.mixture_at(local) in mixtures
            assert whole.mixture_at(step + local) in mixtures
        step += stage.steps


def test_the_rate_has_no_jump_between_the_last_stages():
    before, after = STAGES[1].learning_rates(STAGES[1].steps - 1), STAGES[2].learning_rates(0)
    assert before["decoder"] == pytest.approx(after["decoder"], rel=1e-2)
    assert after["tower"] == 0


def test_every_task_ends_in_its_full_form():
    for task in FIRST_TASKS:
        eases = [mix.ease for lessons in CURRICULUM for mix in lessons.mixes if task in mix.weights]
        assert eases[-1] == 0.0, task


def test_tokenizer_and_model_fit():
    processor = nano_processor()
    assert processor.tokenizer.size <= FIRST_NANO.text.vocab_size
    assert processor.settings == MEDIA
    assert len(processor.tokenizer.encode(" circle")) == 1
    assert len(processor.tokenizer.encode("harbor")) == 6  # words that no sentence has are spelled letter by letter


def test_a_missing_store_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="there is no store.*data draw.*data build"):
        train_run(nano(store=tmp_path / "none"), tmp_path / "run", lambda line: None)


@needs_fonts
def test_nano_trains_from_drawn_records_to_a_checkpoint(tmp_path, monkeypatch):
    """A few steps of every stage, with the functions that the documented commands call."""
    monkeypatch.setattr(drawn_items, "MEASURED_ITEMS", 1)
    firsts = [stage.phases[0].mixtures[:1] for stage in STAGES]
    shorter = tuple(
        replace(stage, steps=2, phases=(Phase(mixtures=first),)) for stage, first in zip(STAGES, firsts, strict=True)
    )
    monkeypatch.setattr(recipe, "STAGES", shorter)
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
    assert train_run(spec, tmp_path / "run", lines.append, num_workers=0, max_steps=4).steps == 4
    assert train_run(spec, tmp_path / "run", lines.append, num_workers=0).steps == 6
    assert [line["stage"] for line in lines] == [stage.name for stage in STAGES for _ in range(2)]
    checks = [line for line in read_metrics(tmp_path / "run/metrics.jsonl") if "exact" in line]
    assert [check["step"] for check in checks] == [3, 6]
    assert set(checks[0]["exact"]) == set(FIRST_TASKS)
    assert is_run(tmp_path / "run")
    assert export_run(tmp_path / "run", tmp_path / "export") == 6
    assert load_model(tmp_path / "export").config == FIRST_NANO
