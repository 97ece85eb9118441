import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen2vl.evaluation.metrics import exact_match, inside, iou, wilson_interval


def test_iou_of_known_boxes():
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0
    assert iou((10, 10, 0, 0), (0, 0, 10, 10)) == 0


corner = st.integers(0, 100)
boxes = st.tuples(corner, corner, corner, corner).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a, b):
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1


def test_points_on_the_edge_are_inside():
    assert inside((10, 20), (10, 20, 30, 40))
    assert not inside((9.9, 20), (10, 20, 30, 40))


def test_exact_match_strips_blanks_and_nothing_else():
    assert exact_match(" red\n", ["red"])
    assert not exact_match("Red", ["red"])
    assert not exact_match("red circle", ["red"])


def test_wilson_interval_of_published_examples():
    """Newcombe 1998, table I, method 3: 81/263 and 0/20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-4)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_bounds(case):
    right, total = case
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12
    assert right / total <= high + 1e-12 <= 1 + 1e-9
