"""Which samples a stage reads: held-out ones never, and every source in proportion to its size unless a mixture says more."""

from types import SimpleNamespace

import numpy as np
import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.lengths import Passes
from qwen2vl.data.mixture import Mixture
from qwen2vl.data.plan import Budgets, Cursor, Phase, PlanConfig
from qwen2vl.data.selection import is_held_out, select_samples, shares_by_size
from qwen2vl.recipes.nano import nano_processor
from tests.data.conftest import build_store

BUDGETS = Budgets(tokens=256, visual_tokens=128, media=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("records"), nano_processor(), 12)


def config_of(*names):
    return PlanConfig(
        phases=(Phase(mixtures=(dict.fromkeys(names, 1),)),), budgets=BUDGETS, packs_per_step=2, window=40
    )


def test_no_step_reads_a_held_out_sample(store):
    selection = select_samples(store, nano_processor(), config_of("pairs", "text"), passes=Passes(), held_out=0.3)
    rows = {row for name in ("pairs", "text") for row in store.sources[name].tolist()}
    read, cursor = set(), Cursor()
    for _ in range(40):
        packs, cursor = selection.plan.step(cursor)
        read |= {row for pack in packs for _, row in pack.samples}
    assert read == rows - set(selection.held_out)
    assert 0 < len(selection.held_out) < len(rows)


def test_without_a_share_nothing_is_held_out(store):
    assert select_samples(store, nano_processor(), config_of("pairs"), passes=Passes()).held_out == ()


def test_an_unknown_source_is_refused(store):
    with pytest.raises(ConfigError, match='names "poems", the store holds'):
        select_samples(store, nano_processor(), config_of("pairs", "poems"), passes=Passes())


def test_whether_a_row_is_held_out_depends_on_the_row_alone():
    rows = list(range(20_000))
    is_out = is_held_out(rows, 0.1)
    assert is_out.mean() == pytest.approx(0.1, abs=0.01)
    assert is_held_out(rows[500:], 0.1).tolist() == is_out[500:].tolist()
    assert is_held_out(rows, 0.2)[is_out].all()


def test_one_row_of_a_source_is_always_trained_on():
    assert is_held_out([3, 4, 5], 1.0).tolist() == [False, True, True]
    assert is_held_out([], 1.0).tolist() == []


def test_shares_by_size_make_a_mixture_whatever_the_size():
    store = SimpleNamespace(sources={"small": np.arange(30), "large": np.arange(10)})
    assert shares_by_size(store) == {"small": 30, "large": 10}
    huge = SimpleNamespace(sources={"huge": range(3_000_000_000), "rare": range(2)})
    shares = shares_by_size(huge)
    assert shares == {"huge": 100_000, "rare": 1}
    Mixture(shares)
