import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.evaluation.metrics import anls, exact_match, iou, is_inside, levenshtein, number_match


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
    ("text", "target", "is_right"),
    [
        ("105", 100, True),
        ("95.0", 100, True),
        ("105.1", 100, False),
        ("94.9", 100, False),
        ("1.05", 1.0, True),
        ("0.95", 1.0, True),
        ("-19", -20, True),
        ("19", -20, False),
        ("9" * 400, 100, False),
        (" 20\n", 20.0, True),
        ("1e2", 100, True),
    ],
)
def test_numbers_are_right_within_their_tolerance(text, target, is_right):
    assert number_match(text, target) == is_right


@pytest.mark.parametrize(
    ("text", "target", "is_right"),
    [
        ("5%", 0.05, True),
        ("5.2%", 0.05, True),
        ("5.3%", 0.05, False),
        ("0.05", "5%", True),
        ("5%", "5%", True),
        ("5 %", 0.05, True),
        ("-5%", -0.05, True),
        ("5", "5%", False),
        ("5%", 5, False),
        ("%", 5, False),
    ],
)
def test_percent_is_a_hundredth_part(text, target, is_right):
    assert number_match(text, target) == is_right


@pytest.mark.parametrize(
    ("text", "target", "is_right"),
    [
        ("blue", "Blue", True),
        (" BLUE ", "blue", True),
        ("light blue", "blue", False),
        ("No", "no", True),
        ("many", 7, False),
        ("12", "Dec 12", False),
        ("0", 0, True),
        ("0", "0", True),
        ("0.0", "0", False),
        ("0.001", 0, False),
        ("many", 0, False),
        ("", "", True),
    ],
)
def test_what_is_no_number_must_be_the_same_text(text, target, is_right):
    assert number_match(text, target) == is_right


@pytest.mark.parametrize("text", ["1,250", "$1250", "about 1250", "1250 m", "The value is 1250.", "1250, no, 7"])
def test_only_a_bare_number_is_a_number(text):
    """As in the published metric: separators, currencies, units and sentences make an answer a text."""
    assert not number_match(text, 1250)
    assert number_match(text, text.upper())


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_read(text):
    number_match(text, 1.0)
    assert 0 <= anls(text, ["abc"]) <= 1
