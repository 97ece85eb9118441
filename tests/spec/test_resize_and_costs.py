"""Sizes, frame rules and costs against the golden values of the fact sheet, sections 1.8, 4.1, 4.4 and 4.5."""

import json
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import ConfigError, MediaError
from qwen2vl.spec.config import FACTOR, Qwen2VLConfig
from qwen2vl.spec.costs import decoder_flops, kv_bytes_per_token, num_parameters, plan_media
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from qwen2vl.spec.resize import choose_num_frames, fit_under, frame_size, image_size, smart_resize

PUBLISHED = MediaSettings()
TOKEN = FACTOR**2


@pytest.mark.parametrize(
    ("height", "width", "expected", "num_tokens"),
    [
        (224, 224, (224, 224), 64),
        (480, 640, (476, 644), 391),
        (1080, 1920, (1092, 1932), 2691),
        (20, 20, (56, 56), 4),
        (42, 70, (56, 56), 4),
        (14400, 1792, (10136, 1260), 16290),
        (4000, 6000, (2912, 4368), 16224),
        (100, 20000, (112, 19992), 2856),
        (10, 1990, (28, 1988), 71),
    ],
)
def test_sizes_equal_the_golden_values(height: int, width: int, expected: tuple[int, int], num_tokens: int) -> None:
    assert smart_resize(height, width) == expected
    assert math.prod(expected) // TOKEN == num_tokens
    plan = plan_media(height, width, config=Qwen2VLConfig.named("2b"))
    assert (plan.height, plan.width) == expected
    assert plan.num_tokens == num_tokens
    assert plan.grid == (1, expected[0] // 14, expected[1] // 14)


@pytest.mark.parametrize(("height", "width", "expected"), [(1080, 1920, (728, 1316)), (4000, 6000, (812, 1204))])
def test_sizes_below_1280_tokens_equal_the_golden_values(height: int, width: int, expected: tuple[int, int]) -> None:
    assert smart_resize(height, width, max_pixels=1280 * TOKEN) == expected


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
    low=st.integers(1, 400),
    span=st.integers(3, 2000),
)
def test_every_size_has_whole_tokens_and_is_within_the_limits(height: int, width: int, low: int, span: int) -> None:
    assume(max(height, width) <= 200 * min(height, width))
    high = low + span
    tall, wide = smart_resize(height, width, min_pixels=low * TOKEN, max_pixels=high * TOKEN)
    assert tall % FACTOR == wide % FACTOR == 0
    assert min(tall, wide) >= FACTOR
    thin = min(tall, wide) == FACTOR  # a side that was lifted to one token may carry the area over the limit
    assert tall * wide <= high * TOKEN or thin or (tall - FACTOR) * (wide - FACTOR) < low * TOKEN
    assert tall * wide >= low * TOKEN or (tall + FACTOR) * (wide + FACTOR) > high * TOKEN


@settings(deadline=None, max_examples=100)
@given(height=st.integers(56, 3000), width=st.integers(56, 3000))
def test_resizing_twice_changes_nothing(height: int, width: int) -> None:
    once = smart_resize(height, width)
    assert smart_resize(*once) == once


def test_an_extreme_ratio_of_sides_is_refused() -> None:
    smart_resize(10, 2000)
    for height, width in ((10, 2001), (2001, 10)):
        with pytest.raises(MediaError, match="ratio over 200"):
            smart_resize(height, width)
    for height, width in ((0, 5), (5, 0)):
        with pytest.raises(MediaError, match="no area"):
            smart_resize(height, width)


def test_a_limit_of_one_image_replaces_the_setting_and_moves_the_other_limit() -> None:
    assert image_size(1080, 1920, PUBLISHED, MediaOptions(max_pixels=1280 * TOKEN)) == (728, 1316)
    assert image_size(56, 56, PUBLISHED, MediaOptions(max_pixels=TOKEN)) == (28, 28)
    small = MediaSettings(min_pixels=TOKEN, max_pixels=4 * TOKEN)
    assert image_size(56, 56, small, MediaOptions(min_pixels=16 * TOKEN)) == (112, 112)
    assert image_size(99, 999, PUBLISHED, MediaOptions(resized_height=280, resized_width=140)) == (280, 140)
    with pytest.raises(MediaError, match="the smaller must not be over the larger"):
        image_size(56, 56, PUBLISHED, MediaOptions(min_pixels=2 * TOKEN, max_pixels=TOKEN))
    with pytest.raises(MediaError, match="nframes is over"):
        MediaOptions(nframes=10**400)


@pytest.mark.parametrize(
    ("total", "fps", "options", "expected"),
    [
        (300, 30.0, {}, 20),  # ten seconds at two frames each
        (1800, 30.0, {}, 120),
        (100, 25.0, {}, 8),
        (60, 30.0, {}, 4),
        (30, 30.0, {}, 4),  # the minimum
        (3, 30.0, {}, 4),  # the last frame is used twice
        (7, 1.75, {}, 8),
        (3, 0.05, {}, 4),
        (1, 30.0, {}, 2),  # a single frame is used twice
        (2, 0.1, {}, 2),
        (36000, 30.0, {}, 768),  # the maximum
        (36000, 30.0, {"max_frames": 101}, 100),
        (300, 30.0, {"min_frames": 31}, 32),
        (300, 30.0, {"fps": 1.1}, 10),  # 11 is rounded down to an even number
        (300, 30.0, {"fps": 1000.0}, 300),
        (300, 30.0, {"nframes": 5}, 4),
        (300, 30.0, {"nframes": 7}, 8),
        (10, 30.0, {"nframes": 16}, 10),
        (3, 30.0, {"nframes": 64}, 4),
        (3, 30.0, {"min_frames": 20}, 4),
        (9, 30.0, {"fps": 1000.0}, 10),
        (1, 30.0, {"nframes": 8}, 2),
    ],
)
def test_the_number_of_frames_follows_the_published_rule(
    total: int, fps: float, options: dict[str, float], expected: int
) -> None:
    assert choose_num_frames(total, total / fps, PUBLISHED, MediaOptions(**options)) == expected  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(total=st.integers(1, 10**6), fps=st.floats(0.01, 1000), wanted=st.floats(0.01, 1000))
def test_the_number_of_frames_is_even_and_within_the_limits(total: int, fps: float, wanted: float) -> None:
    count = choose_num_frames(total, total / fps, PUBLISHED, MediaOptions(fps=wanted))
    assert count % 2 == 0
    assert 2 <= count <= max(2, min(total + total % 2, PUBLISHED.max_frames))


@pytest.mark.parametrize(("options", "message"), [({"nframes": 1}, "nframes 1"), ({"fps": 0.0}, r"fps 0\.0")])
def test_impossible_numbers_of_frames_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        choose_num_frames(100, 10.0, PUBLISHED, MediaOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("num_frames", "tokens_per_pair"),
    [(4, 768), (32, 768), (64, 768), (128, 384), (256, 192), (366, 134), (768, 134)],
)
def test_tokens_per_pair_of_frames_follow_the_published_table(num_frames: int, tokens_per_pair: int) -> None:
    height, width = frame_size(2160, 3840, num_frames, PUBLISHED)
    assert tokens_per_pair * 0.88 <= height * width / TOKEN <= tokens_per_pair + 1


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(28, 4000),
    width=st.integers(28, 4000),
    num_frames=st.integers(1, 768),
    cap=st.sampled_from([400, 2048, 16384]),
)
def test_a_video_never_exceeds_the_cap(height: int, width: int, num_frames: int, cap: int) -> None:
    tall, wide = frame_size(height, width, num_frames, MediaSettings(video_max_tokens=cap))
    assert tall % FACTOR == wide % FACTOR == 0
    assert min(tall, wide) >= FACTOR
    assert math.ceil(num_frames / 2) * tall * wide // TOKEN <= cap


@pytest.mark.parametrize(
    ("num_frames", "size", "tokens"),
    [
        (64, (1080, 1920), 23_040),
        (768, (1080, 1920), 46_080),
        (64, (720, 1280), 23_040),
        (8, (480, 640), 1_564),
        (256, (1920, 1080), 23_040),
        (300, (100, 3000), 21_000),
    ],
)
def test_a_published_checkpoint_gives_videos_the_budget_of_the_published_utilities(
    num_frames: int, size: tuple[int, int], tokens: int
) -> None:
    tall, wide = frame_size(*size, num_frames, PUBLISHED)
    total_pixels, low = 24576 * TOKEN, 128 * TOKEN  # [paper 4.5], written out
    high = max(min(768 * TOKEN, total_pixels / num_frames * 2), int(low * 1.05))
    assert (tall, wide) == smart_resize(*size, min_pixels=low, max_pixels=int(high))
    assert num_frames // 2 * tall * wide // TOKEN == tokens


def test_frames_of_long_videos_are_below_the_minimum_per_frame_to_keep_a_cap() -> None:
    height, width = frame_size(720, 1280, 768, MediaSettings(video_max_tokens=16384))
    assert height * width < PUBLISHED.video_min_pixels
    assert 384 * height * width // TOKEN <= 16384


def test_a_video_can_set_its_own_cap_and_budget() -> None:
    tight = MediaSettings(video_max_tokens=1000)

    def tokens(settings: MediaSettings, **options: int) -> int:
        tall, wide = frame_size(1080, 1920, 64, settings, MediaOptions(**options))
        return 32 * tall * wide // TOKEN

    assert tokens(tight) <= 1000
    assert tokens(tight, max_tokens=16384) == 15_360
    assert tokens(tight, max_tokens=10**6) == 23_040
    assert tokens(PUBLISHED, max_tokens=500) <= 500
    assert tokens(PUBLISHED, total_pixels=48 * 1024 * TOKEN, max_pixels=1400 * TOKEN) > 40_000
    assert tokens(tight.capped(400), max_tokens=10**6) <= 400
    with pytest.raises(MediaError, match="over 2 tokens at any size: ask for fewer frames or more max_tokens"):
        tokens(PUBLISHED, max_tokens=2)


def test_a_budget_of_a_pack_wins_over_the_limits_of_an_item() -> None:
    tall, wide = image_size(1000, 1000, PUBLISHED.capped(100), MediaOptions(min_pixels=900 * TOKEN))
    assert tall * wide <= 100 * TOKEN
    assert PUBLISHED.capped(100).capped(300) == PUBLISHED.capped(100)


def test_options_decide_the_size_of_frames() -> None:
    assert frame_size(720, 1280, 8, PUBLISHED, MediaOptions(resized_height=280, resized_width=500)) == (280, 504)
    assert frame_size(720, 1280, 8, PUBLISHED, MediaOptions(max_pixels=4 * TOKEN)) == (28, 56)
    assert frame_size(720, 1280, 8, PUBLISHED, MediaOptions(max_pixels=0)) == (28, 28)
    tall, wide = frame_size(720, 1280, 8, PUBLISHED, MediaOptions(total_pixels=1024 * TOKEN))
    assert 200 * TOKEN < tall * wide <= 256 * TOKEN
    capped = MediaSettings(video_max_tokens=16384)
    with pytest.raises(MediaError, match="over the cap of 16384"):
        frame_size(720, 1280, 100, capped, MediaOptions(resized_height=1400, resized_width=1400))
    with pytest.raises(MediaError, match="ask for fewer frames"):
        frame_size(720, 1280, 40000, capped)


def test_fit_under_trims_the_longer_side() -> None:
    assert fit_under(30, 4000, 1, 10**6, 28 * 28 * 100) == (28, 2800)


@pytest.mark.parametrize(
    "options",
    [
        {"min_pixels": -1},
        {"fps": math.nan},
        {"nframes": math.inf},
        {"max_pixels": "many"},
        {"nframes": True},
        {"fps": 1.0, "nframes": 4},
        {"resized_height": 28},
    ],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(MediaError, match=next(iter(options))):
        MediaOptions(**options)  # type: ignore[arg-type]


def test_settings_of_a_directory_without_files_are_the_published_ones(tmp_path) -> None:
    assert MediaSettings.load(tmp_path) == PUBLISHED


def test_settings_are_equal_after_saving_and_loading(tmp_path) -> None:
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(PUBLISHED.video_file()))
    assert MediaSettings.load(tmp_path) == PUBLISHED
    ours = MediaSettings(
        min_pixels=784,
        max_pixels=7840,
        video_max_pixels=200_000,
        video_max_tokens=99,
        fps=4.0,
        image_mean=(0.1, 0.2, 0.3),
    )
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(ours.image_file()))
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(ours.video_file()))
    assert MediaSettings.load(tmp_path) == ours


def test_limits_are_read_under_the_names_of_newer_files(tmp_path) -> None:
    size = {"shortest_edge": 3136, "longest_edge": 1003520}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    assert MediaSettings.load(tmp_path).max_pixels == 1003520


def test_limits_of_videos_that_transformers_saved_only_make_frames_smaller(tmp_path) -> None:
    """It saves the limits of images there; the published utilities have resized to their own before these apply."""
    for edges, expected in (
        ({"shortest_edge": 3136, "longest_edge": 12845056}, (128 * TOKEN, 768 * TOKEN)),
        ({"shortest_edge": 3136, "longest_edge": 64 * TOKEN}, (64 * TOKEN, 64 * TOKEN)),
    ):
        (tmp_path / "video_preprocessor_config.json").write_text(json.dumps({"size": edges, "max_frames": 768}))
        settings = MediaSettings.load(tmp_path)
        assert (settings.video_min_pixels, settings.video_max_pixels) == expected
        assert settings.video_max_tokens is None


def test_contradicting_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_tokens 0 is too low"):
        PUBLISHED.with_limits(None, None, 0)
    with pytest.raises(ConfigError, match="min_pixels 10 and max_pixels 5"):
        MediaSettings(min_pixels=10, max_pixels=5)
    with pytest.raises(ConfigError, match="under one token"):
        MediaSettings(min_pixels=10, max_pixels=50)


@pytest.mark.parametrize(
    ("name", "tower_and_merger", "total", "kv_bytes"),
    [
        ("2b", 665_271_296, 2_208_985_600, 28_672),
        ("7b", 675_759_104, 8_291_375_616, 57_344),
        ("72b", 699_356_672, 73_405_560_320, 327_680),
    ],
)
def test_parameters_and_cache_bytes_equal_the_published_sizes(
    name: str, tower_and_merger: int, total: int, kv_bytes: int
) -> None:
    config = Qwen2VLConfig.named(name)
    parts = num_parameters(config)
    assert parts["tower"] == 631_183_360
    assert parts["tower"] + parts["merger"] == tower_and_merger
    assert parts["total"] == total
    assert kv_bytes_per_token(config) == kv_bytes


def test_costs_follow_from_the_grid() -> None:
    config = Qwen2VLConfig.named("2b")
    image = plan_media(224, 224, config=config)
    video = plan_media(
        224, 224, config=config, num_frames=20, options=MediaOptions(resized_height=224, resized_width=224)
    )
    assert video.grid == (10, 16, 16)
    assert video.num_tokens == 10 * image.num_tokens
    assert video.tower_flops == pytest.approx(10 * image.tower_flops, rel=1e-9)  # no attention between frames
    assert image.pixel_bytes == 256 * 1176
    assert image.kv_bytes == 64 * 28_672
    # A forward pass costs two FLOPs for every weight that is applied to a patch; those of the merger are applied to one patch in four.
    linear = 2 * 256 * 631_183_360 + 2 * 64 * 34_087_936
    attention = 32 * 4 * 256 * 256 * 1280
    assert image.tower_flops == pytest.approx(linear + attention, rel=1e-3)
    assert decoder_flops(config, 66) == pytest.approx(
        2 * 66 * 1_543_714_304, rel=0.16
    )  # without the rows of the embedding


def test_settings_are_read_where_newer_transformers_saves_them(tmp_path):
    nested = {
        "image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 78400}, "image_mean": [0.1, 0.2, 0.3]}
    }
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    settings = MediaSettings.load(tmp_path)
    assert (settings.min_pixels, settings.max_pixels) == (3136, 78400)
    assert settings.image_mean == (0.1, 0.2, 0.3)
