import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.evaluation.intervals import difference_interval, interval_of, mean_interval, student, wilson_interval


def test_wilson_interval_of_published_examples():
    """Newcombe 1998, table I, method 3: 81/263 and 0/20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-4)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-4)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_contains_the_share_and_stays_within_bounds(case):
    right, total = case
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12
    assert right / total <= high + 1e-12 <= 1 + 1e-9


@pytest.mark.parametrize(("freedom", "t"), [(5, 2.5706), (9, 2.2622), (29, 2.0452), (99, 1.9842), (299, 1.9679)])
def test_student_agrees_with_published_tables(freedom, t):
    assert student(freedom) == pytest.approx(t, rel=3e-3 if freedom < 9 else 3e-4)


def test_95_percent_of_intervals_contain_the_true_mean():
    """Scores like those of ANLS: zero, or between one half and one."""
    rng = random.Random(0)
    draws = [[rng.choice((0.0, rng.uniform(0.5, 1))) for _ in range(100)] for _ in range(1000)]
    held = sum(low <= 0.375 <= high for low, high in map(mean_interval, draws))
    assert 925 <= held <= 970


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_the_interval_of_a_mean_contains_it(values):
    low, high = mean_interval(values)
    assert 0 <= low <= fmean(values) + 1e-9
    assert fmean(values) <= high + 1e-9 <= 1 + 1e-6


def test_means_of_zeros_and_ones_are_shares():
    assert interval_of([1.0] * 20) == wilson_interval(20, 20)
    assert interval_of([1.0] * 20)[0] < 0.9, "twenty right answers do not prove that all are right"
    assert interval_of([0.0, 1.0, 1.0]) == wilson_interval(2, 3)
    assert interval_of([0.0, 0.8, 1.0]) == mean_interval([0.0, 0.8, 1.0])
    assert mean_interval([0.7]) == (0, 1)


def test_difference_of_shares_of_a_published_example():
    """Newcombe 1998 (interval estimation for the difference), table II, method 10: 56/70 - 48/80."""
    a, b = wilson_interval(56, 70), wilson_interval(48, 80)
    assert difference_interval(56 / 70, a, 48 / 80, b) == pytest.approx((0.0524, 0.3339), abs=1e-4)
