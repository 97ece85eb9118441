"""The plan: every step is a function of seed, index and settings; proportions, budgets and balance always hold."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.keys import key_of
from qwen2vl.data.dealing import SLACK, deal
from qwen2vl.data.mixture import Mixture
from qwen2vl.data.order import permuted
from qwen2vl.data.packing import pack_window
from qwen2vl.data.plan import Budgets, Cursor, Lengths, Pack, Phase, Plan, PlanConfig, digest


def lengths_of(count: int, seed: int = 0) -> Lengths:
    """Lengths like those of real records: two thirds of the tokens visual, a long tail; costs like those of 2B, in GFLOP."""
    random = np.random.default_rng(seed)
    visual = np.where(random.random(count) < 0.75, random.lognormal(6.4, 0.7, count), 0).astype(np.int64).clip(0, 6000)
    tokens = visual + random.lognormal(5.2, 0.9, count).astype(np.int64).clip(1, 2000)
    flops = tokens * 3.1 + visual * 5.2 + visual**2 * 0.0026
    media = (visual > 0).astype(np.int64)
    return Lengths(rows=np.arange(count), tokens=tokens, visual_tokens=visual, media=media, flops=flops)


MIXTURE = {"pairs": 5, "pages": 3, "text": 1}
CONFIG = PlanConfig(
    phases=(Phase(mixtures=(MIXTURE,)),),
    budgets=Budgets(tokens=8192, visual_tokens=8000, media=40),
    packs_per_step=12,
    window=256,
)


def only(weights: dict[str, int]) -> tuple[Phase, ...]:
    return (Phase(mixtures=(weights,)),)


SOURCES = {
    name: lengths_of(count, seed) for seed, (name, count) in enumerate([("pairs", 700), ("pages", 90), ("text", 11)])
}


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_an_epoch_visits_every_sample_once(size, key):
    assert sorted(permuted(np.arange(size), size, key)) == list(range(size))


def test_another_key_gives_another_order_and_separates_neighbours():
    one, other = (permuted(np.arange(10_000), 10_000, key_of("seed", key)) for key in range(2))
    assert (one == other).mean() < 0.001
    assert np.abs(np.diff(one)).mean() == pytest.approx(10_000 / 3, rel=0.05)  # the mean of independent positions


def test_a_range_of_an_epoch_is_computed_without_the_rest():
    whole = permuted(np.arange(1000), 1000, 7)
    assert (permuted(np.arange(400, 500), 1000, 7) == whole[400:500]).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.integers(0, 5000))
def test_shares_are_exact_within_one_sample_in_every_prefix(weights, start):
    mixture = Mixture({str(source): weight for source, weight in enumerate(weights)})
    draws = mixture.draws(0, 600)
    drawn = (draws.sources[:, None] == np.arange(len(weights))).cumsum(axis=0)
    due = np.arange(1, 601)[:, None] * np.asarray(weights) / sum(weights)
    assert np.abs(drawn - due).max() < 1
    later = mixture.draws(start, 50)
    for source in range(len(weights)):
        ordinals = later.ordinals[later.sources == source]
        assert (np.diff(ordinals) == 1).all()
        assert len(ordinals) == 0 or abs(ordinals[0] - start * weights[source] / sum(weights)) < 1


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": 0.5}, {"a": True}])
def test_invalid_shares_are_refused(weights):
    with pytest.raises(ConfigError, match="mixture"):
        Mixture(weights)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 60), st.integers(0, 5)), max_size=200))
def test_packs_hold_every_sample_once_and_keep_all_budgets(rows):
    sizes = np.asarray(rows, dtype=np.int64).reshape(-1, 3)
    packs = pack_window(sizes, (100, 60, 5))
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(rows)))
    assert all((sizes[pack].sum(axis=0) <= (100, 60, 5)).all() for pack in packs)


def test_a_window_is_packed_to_99_5_percent():
    lengths = lengths_of(2048)
    sizes = np.stack([lengths.tokens, lengths.visual_tokens, lengths.media], axis=1)
    packs = pack_window(sizes, (8192, 8192, 64))
    assert lengths.tokens.sum() / (len(packs) * 8192) >= 0.995


def steps_of(plan: Plan, count: int, cursor: Cursor | None = None) -> list[str]:
    digests, cursor = [], cursor or Cursor()
    for _ in range(count):
        packs, cursor = plan.step(cursor)
        digests.append(digest(packs))
    return digests


def test_a_resumed_plan_gives_the_same_steps_as_one_without_interruption():
    uninterrupted = steps_of(Plan(SOURCES, CONFIG), 12)
    cursor = Cursor()
    for _ in range(5):
        _, cursor = Plan(SOURCES, CONFIG).step(cursor)  # a new process at every step
    assert cursor.step == 5
    assert steps_of(Plan(SOURCES, CONFIG), 7, cursor) == uninterrupted[5:]
    assert steps_of(Plan(SOURCES, replace(CONFIG, seed=1)), 12) != uninterrupted


def samples_of(plan: Plan, steps: int) -> list[list[tuple[str, int]]]:
    """Samples of every step."""
    cursor, found = Cursor(), []
    for _ in range(steps):
        packs, cursor = plan.step(cursor)
        found.append([sample for pack in packs for sample in pack.samples])
    return found


def test_every_draw_of_the_mixture_is_in_the_plan_once():
    plan = Plan(SOURCES, CONFIG)
    (stream,) = plan.mixtures
    drawn, samples = Counter(), []
    for number in range(4):
        before = tuple(drawn[source] for source in MIXTURE)
        here = [sample for pack in plan.packs_of(stream, number, before) for sample in pack.samples]
        drawn.update(source for source, _ in here)
        samples += here
    assert len(samples) == 4 * CONFIG.window
    assert {source: round(count * 9 / len(samples)) for source, count in drawn.items()} == MIXTURE
    text = Counter(sample for source, sample in samples if source == "text")
    assert (
        max(text.values()) - min(text[sample] for sample in range(11)) <= 1
    )  # every epoch is complete before the next one starts


TURNS = replace(
    CONFIG,
    packs_per_step=1,
    phases=(
        Phase(until=20, mixtures=({"pairs": 1}, {"pages": 1, "pairs": 1})),
        Phase(mixtures=({"pairs": 1}, {"text": 1})),
    ),
)


def test_steps_take_the_mixtures_of_their_phase_in_turn():
    steps = samples_of(Plan(SOURCES, TURNS), 30)
    sources = [{source for source, _ in samples} for samples in steps]
    assert sources[:20:2] + sources[20::2] == [{"pairs"}] * 15
    assert set.union(*sources[1:20:2]) == {"pairs", "pages"}
    assert sources[21::2] == [{"text"}] * 5


def test_streams_that_share_a_source_do_not_repeat_each_other():
    """Two windows of the first phase draw pairs: 256 + 128 of 700, all different."""
    drawn = [sample for samples in samples_of(Plan(SOURCES, TURNS), 20) for sample in samples if sample[0] == "pairs"]
    assert len(drawn) > 50
    assert len(set(drawn)) == len(drawn)


def test_a_cursor_is_the_same_after_json():
    cursor = Cursor()
    for _ in range(25):
        _, cursor = Plan(SOURCES, TURNS).step(cursor)
    assert Cursor.from_dict(json.loads(json.dumps(cursor.to_dict()))) == cursor


def test_phases_whose_ends_do_not_rise_are_refused():
    one = CONFIG.phases[0].mixtures
    for ends in ((5, 3, None), (None, None), (5,), (5, 5, None)):
        with pytest.raises(ConfigError, match="phases end at"):
            replace(CONFIG, phases=tuple(Phase(mixtures=one, until=end) for end in ends))


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 12])
def test_every_pack_is_dealt_once_and_every_process_has_one(processes):
    packs, _ = Plan(SOURCES, CONFIG).step(Cursor())
    shares = deal(packs, processes)
    assert sorted(pack for share in shares for pack in share) == list(range(12))
    assert all(shares)


def imbalance(packs: list[Pack], shares: list[list[int]], field: str) -> float:
    """The largest share, divided by the mean."""
    sums = [sum(getattr(packs[pack], field) for pack in share) for share in shares]
    return max(sums) / np.mean(sums)


def test_64_processes_have_equal_cost_and_visual_tokens():
    lengths = lengths_of(20_000)
    plan = Plan({"all": lengths}, replace(CONFIG, phases=only({"all": 1}), packs_per_step=256, window=2048))
    packs, _ = plan.step(Cursor())
    assert all(pack.visual_tokens == sum(lengths.visual_tokens[row] for _, row in pack.samples) for pack in packs)
    shares = deal(packs, 64)
    assert imbalance(packs, shares, "flops") <= 1.03
    assert imbalance(packs, shares, "visual_tokens") <= 1.10


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 1000)), min_size=1, max_size=60), st.integers(1, 8))
def test_dealing_visual_tokens_evenly_costs_at_most_the_slack(sizes, processes):
    """Compared with dealing by cost only, costs are within the slack and visual tokens are not less even."""
    packs = [Pack((("a", row),), flops, visual) for row, (flops, visual) in enumerate(sizes)]
    by_cost = deal([replace(pack, visual_tokens=0) for pack in packs], processes)
    shares = deal(packs, processes)
    assert sorted(pack for share in shares for pack in share) == list(range(len(packs)))
    highest = imbalance(packs, by_cost, "flops")
    assert imbalance(packs, shares, "flops") <= max(highest, SLACK) * (1 + 1e-9)
    if any(pack.visual_tokens for pack in packs):
        assert imbalance(packs, shares, "visual_tokens") <= imbalance(packs, by_cost, "visual_tokens")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phases": only({"nowhere": 1})}, "nowhere"),
        ({"phases": only({"empty": 1})}, "no samples"),
        ({"budgets": Budgets(tokens=300, visual_tokens=300, media=1)}, "over the 300"),
        ({"packs_per_step": 0}, "packs_per_step is 0"),
    ],
)
def test_an_impossible_plan_is_refused_at_its_start(change, words):
    with pytest.raises(ConfigError, match=words):
        Plan(SOURCES | {"empty": lengths_of(0)}, replace(CONFIG, **change))
