import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.evaluation.metrics import anls, exact_match, first_number, iou, is_inside, levenshtein, number_match


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


@settings(deadline=None)
@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a, b):
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1


def test_points_on_the_edge_are_inside():
    assert is_inside((10, 20), (10, 20, 30, 40))
    assert not is_inside((9.9, 20), (10, 20, 30, 40))


def test_exact_match_ignores_only_surrounding_white_space():
    assert exact_match(" red\n", ["red"])
    assert not exact_match("Red", ["red"])
    assert not exact_match("red circle", ["red"])


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("", "abc", 3), ("abc", "abc", 0)]
)
def test_levenshtein_of_known_words(a, b, distance):
    assert levenshtein(a, b) == levenshtein(b, a) == distance


words = st.text("ab c", max_size=9)


@settings(deadline=None)
@given(words, words, words)
def test_levenshtein_is_a_distance(a, b, c):
    assert (levenshtein(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= levenshtein(a, b) <= max(len(a), len(b))
    assert levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c)


def test_anls_ignores_case_and_amount_of_white_space_and_takes_the_best():
    assert anls(" TOTAL \n 12 ", ["total 12"]) == 1
    assert anls("Total  12", ["total 13"]) == pytest.approx(7 / 8)
    assert anls("sit", ["kitten", "sat"]) == pytest.approx(2 / 3)
    assert anls("", [""]) == 1
    assert anls("x", []) == 0


def test_anls_is_zero_from_a_distance_of_one_half():
    assert anls("abxx", ["abcd"]) == 0
    assert anls("abcxx", ["abcde"]) == pytest.approx(3 / 5)
    assert anls("", ["abc"]) == 0
    assert anls("a" * 5, ["a" * 10]) == 0


@settings(deadline=None)
@given(words, words)
def test_anls_agrees_with_its_definition(a, b):
    """The definition has no shortcut for texts of different length."""
    a, b = (" ".join(text.split()) for text in (a, b))
    far = levenshtein(a, b) / max(len(a), len(b), 1)
    assert anls(a, [b]) == pytest.approx(1 - far if far < 0.5 else 0)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("about 1,250.5 m, not 7", 1250.5),
        ("-3", -3),
        ("−3", -3),
        ("10-20", 10),
        ("A-5", 5),
        ("x5", 5),
        ("12%", 12),
        ("$.75", 0.75),
        ("No.5", 5),
        ("It is 12.", 12),
        ("1,2345", 1),
        ("2024,12,31", 2024),
        ("none", None),
        ("", None),
        ("-", None),
    ],
)
def test_the_first_number_of_a_text(text, number):
    assert first_number(text) == number


def test_numbers_are_right_within_their_tolerance():
    assert number_match("105", 100, 0.05)
    assert number_match("95.0", 100)
    assert not number_match("105.1", 100)
    assert not number_match("94.9", 100)
    assert number_match("1.05", 1.0)
    assert number_match("-19", -20)
    assert not number_match("19", -20)
    assert number_match("0", 0)
    assert not number_match("0.001", 0)
    assert not number_match("9" * 400, 100)
    assert not number_match("many", 0)


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_read(text):
    number_match(text, 1.0)
    assert 0 <= anls(text, ["abc"]) <= 1
