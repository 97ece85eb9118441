"""The configurations of the studies: complete, of equal work, different only in what is studied."""

from dataclasses import replace

import pytest

from drawn_world.slides import is_slides, parse_slides, write_slides
from drawn_world.write_records import parse_source
from experiments.study_items import held_out
from experiments.study_recipes import (
    DYNAMIC_RESOLUTION,
    LENGTH,
    LENGTHS,
    MROPE,
    STUDIES,
    Lesson,
    fixed,
    forecast_run,
    study_run,
)
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.resize import image_size


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    files = [file for source in LENGTH.records for file in write_slides(folder, source, 40)]
    settings = BuildSettings(
        store=folder / "store", tokenizer=nano_processor().tokenizer, media_root=None, media=MediaSettings()
    )
    build(files, settings)
    return folder / "store"


@pytest.mark.parametrize("study", STUDIES.values(), ids=str)
def test_all_lessons_have_records_and_all_columns_have_items(study):
    for variant in study.variants:
        assert sum(lesson.share for lesson in variant.lessons) == pytest.approx(1)
        taught = {source for lesson in variant.lessons for mixture in lesson.mixtures for source in mixture}
        assert taught <= set(study.records)
    for source in (*study.records, *(column.source for column in study.columns)):
        assert parse_slides(source) if is_slides(source) else parse_source(source)
    assert len({variant.name for variant in study.variants}) == len(study.variants)
    assert len({column.source for column in study.columns}) == len(study.columns)


def test_every_variant_has_the_same_work(store, tmp_path):
    study = replace(LENGTH, work=4e11)
    planned = {
        variant.name: forecast_run(study_run(study, variant, store, tmp_path), tmp_path) for variant in study.variants
    }
    assert all(each.flops == pytest.approx(study.work, rel=0.1) for each in planned.values())
    assert planned["1d-8"] == planned["mrope-8"]
    assert planned["mrope-64"].samples < planned["mrope-8"].samples


def test_a_share_shortens_the_schedule_and_keeps_its_lessons(store, tmp_path):
    study = replace(LENGTH, work=4e11)
    (long,), (short,) = (
        study_run(study, LENGTH.variants[1], store, tmp_path, share=share).stages for share in (1.0, 0.5)
    )
    assert short.steps == pytest.approx(long.steps / 2, abs=1)
    assert [phase.mixtures for phase in short.phases] == [phase.mixtures for phase in long.phases]
    assert long.phases[0].until == pytest.approx(0.4 * long.steps, rel=0.15)
    assert long.phases[-1].until is None


def test_variants_differ_only_in_what_is_studied():
    one_axis, three = MROPE.variants
    assert replace(one_axis, name="", title="", config=three.config) == replace(three, name="", title="")
    assert replace(one_axis.config.text, rope="mrope") == three.config.text
    dynamic = DYNAMIC_RESOLUTION.variant("dynamic")
    for variant in DYNAMIC_RESOLUTION.variants:
        assert replace(variant, name="", title="", media=dynamic.media) == replace(dynamic, name="", title="")
    assert {lesson.share for variant in LENGTH.variants for lesson in variant.lessons} == {0.4, 0.6}
    assert isinstance(one_axis.lessons[0], Lesson)


@pytest.mark.parametrize("tokens", [4, 16, 36])
def test_fixed_gives_about_the_same_number_of_tokens_for_every_size(tokens):
    for height, width in ((28, 112), (112, 84), (168, 168), (90, 201)):
        tall, wide = image_size(height, width, fixed(tokens))
        assert tokens / 2 <= tall * wide // 784 <= 2 * tokens


def test_videos_of_a_column_have_as_many_frames_as_its_title_says():
    for column in LENGTH.columns[: len(LENGTHS)]:
        frames = held_out(column.source, 0).messages[0]["content"][0]["video"]
        assert column.title == f"{len(frames)} frames"
