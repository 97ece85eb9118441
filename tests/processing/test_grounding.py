import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen2vl.processing.grounding import (
    Box,
    Point,
    box_markup,
    parse_places,
    point_markup,
    quad_markup,
    to_pixels,
    to_thousandths,
)
from qwen2vl.spec.tokens import BOX_END, BOX_START, GROUNDING_TOKENS, QUAD_START, REF_END, REF_START

SIZE = (640, 480)
sizes = st.tuples(st.integers(1, 20000), st.integers(1, 20000))


def ref(label):
    return f"{REF_START}{label}{REF_END}"


def test_the_example_of_the_paper_is_written_and_parsed():
    text = box_markup((176, 106, 232, 160), "eyes of a giraffe")
    assert text == f"{REF_START}eyes of a giraffe{REF_END}{BOX_START}(176,106),(232,160){BOX_END}"
    assert parse_places(text, [(1000, 500)]).boxes == (
        Box(
            label="eyes of a giraffe", image_index=0, xyxy_px=(176.0, 53.0, 232.0, 80.0), xyxy_1000=(176, 106, 232, 160)
        ),
    )


def test_pixels_become_whole_thousandths_below_1000():
    assert to_thousandths((320, 120, 640, 480), SIZE) == (500, 250, 999, 999)
    assert to_thousandths((-3, 700), SIZE) == (0, 999)


@settings(deadline=None, max_examples=300)
@given(sizes, st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_a_round_trip_moves_boxes_by_at_most_a_thousandth(size, shares):
    xs, ys = sorted(shares[::2]), sorted(shares[1::2])
    box = [xs[0] * size[0], ys[0] * size[1], xs[1] * size[0], ys[1] * size[1]]
    found = parse_places(box_markup(to_thousandths(box, size), "it"), [size]).boxes[0]
    for axis in range(4):
        assert abs(found.xyxy_px[axis] - box[axis]) <= size[axis % 2] / 1000 * (1 + 1e-6)


@settings(deadline=None, max_examples=300)
@given(sizes, st.tuples(st.integers(0, 999), st.integers(0, 999)))
@example((3, 7), (333, 571))
def test_thousandths_are_equal_after_a_round_trip_through_pixels(size, pair):
    assert to_thousandths(to_pixels(pair, size), size) == pair


def test_an_answer_can_name_several_objects_with_several_boxes():
    cats = ref("cats") + f"{BOX_START}(1,2),(3,4){BOX_END}, {BOX_START}(5,6),(7,8){BOX_END}"
    text = f"Here are {cats} and {ref('dog')}{BOX_START}(10,20),(30,40){BOX_END} too."
    boxes = parse_places(text, [SIZE]).boxes
    assert [(box.label, box.xyxy_1000) for box in boxes] == [
        ("cats", (1, 2, 3, 4)),
        ("cats", (5, 6, 7, 8)),
        ("dog", (10, 20, 30, 40)),
    ]


def test_a_label_applies_to_its_box_after_words_but_not_to_the_box_after_more_words():
    text = f"{ref('cat')} sits at {box_markup((1, 2, 3, 4))} and elsewhere {box_markup((5, 6, 7, 8))}"
    assert [box.label for box in parse_places(text, [SIZE]).boxes] == ["cat", ""]


def test_four_pairs_in_one_segment_are_two_boxes():
    text = f"{ref('cats')}{BOX_START}(1,2),(3,4),(5,6),(7,8){BOX_END}"
    assert [box.xyxy_1000 for box in parse_places(text, [SIZE]).boxes] == [(1, 2, 3, 4), (5, 6, 7, 8)]


def test_one_pair_is_a_point():
    places = parse_places(point_markup((500, 250), "knob"), [SIZE])
    assert places.points == (Point(label="knob", image_index=0, xy_px=(320.0, 120.0), xy_1000=(500, 250)),)
    assert places.boxes == ()


def test_four_corners_are_a_quad_with_the_box_around_it():
    (box,) = parse_places(quad_markup((10, 0, 20, 10, 10, 20, 0, 10), "sign"), [(1000, 2000)]).boxes
    assert box.quad == ((10.0, 0.0), (20.0, 20.0), (10.0, 40.0), (0.0, 20.0))
    assert (box.xyxy_1000, box.label) == ((0, 0, 20, 20), "sign")


def test_reversed_corners_are_put_in_order():
    assert parse_places(box_markup((30, 40, 10, 20)), [SIZE]).boxes[0].xyxy_1000 == (10, 20, 30, 40)


@pytest.mark.parametrize("spaced", ["( 1 , 2 ) , ( 3 , 4 )", "(1,2)(3,4)", " (1,2), (3,4) "])
def test_spaces_and_missing_commas_are_accepted(spaced):
    assert parse_places(f"{BOX_START}{spaced}{BOX_END}", [SIZE]).boxes[0].xyxy_1000 == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "content",
    ["", "cat", "(1,2),(3", "(1,2),(3,4),(5,6)", "(1,2,3),(3,4)", "(1,2),(3,--4)", "(1.,2),(3,4)", "1,2,3,4", "(1,2) x (3,4)",
     "(99999999999,2),(3,4)", "(１,2),(3,4)", "(1e3,2),(3,4)", "(nan,2),(3,4)"],
)  # fmt: skip
def test_malformed_boxes_are_left_out(content):
    text = f"{ref('a')}{BOX_START}{content}{BOX_END}{box_markup((5, 6, 7, 8), 'b')}"
    assert [box.label for box in parse_places(text, [SIZE]).boxes] == ["b"]
    assert parse_places(text, [SIZE]).points == ()


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        ("(970,200),(1040,500)", (970, 200, 1000, 500)),
        ("(1,2),(3,-4)", (1, 0, 3, 2)),
        ("(-20,-1),(1001,99999)", (0, 0, 1000, 1000)),
        ("(1010,200),(1040,500)", (1000, 200, 1000, 500)),
        ("(1.5,2.4),(3.0,4)", (2, 2, 3, 4)),
        ("( 12 , 30.51 ) ( 999.6 , +40 )", (12, 31, 1000, 40)),
    ],
)
def test_boxes_beyond_the_edge_are_moved_to_it_and_keep_their_text(content, inside):
    (box,) = parse_places(f"{ref('a')}{BOX_START}{content}{BOX_END}", [SIZE]).boxes
    assert box.xyxy_1000 == inside
    assert box.xyxy_px == to_pixels(inside, SIZE)
    assert box.raw.count("(") == 2
    assert all(pair in content for pair in box.raw.split("),("))


def test_points_and_corners_beyond_the_edge_are_moved_to_it():
    (point,) = parse_places(f"{BOX_START}(500,1200){BOX_END}", [SIZE]).points
    assert (point.xy_1000, point.xy_px, point.raw) == ((500, 1000), (320.0, 480.0), "(500,1200)")
    (quad,) = parse_places(quad_markup((10, -5, 1020, 10, 10, 20, 0, 10)), [(1000, 2000)]).boxes
    assert quad.quad == ((10.0, 0.0), (1000.0, 20.0), (10.0, 40.0), (0.0, 20.0))
    assert quad.raw == "(10,-5),(1020,10),(10,20),(0,10)"


def test_every_box_of_a_segment_has_its_own_text():
    text = f"{BOX_START}(1,2),(3,4),(995,6),(1007,8){BOX_END}"
    assert [box.raw for box in parse_places(text, [SIZE]).boxes] == ["(1,2),(3,4)", "(995,6),(1007,8)"]


def test_every_truncation_of_an_answer_is_read_without_the_unfinished_part():
    text = box_markup((1, 2, 3, 4), "cat") + box_markup((5, 6, 7, 8), "dog")
    counts = [len(parse_places(text[:end], [SIZE]).boxes) for end in range(len(text) + 1)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-2], counts[-1]) == (0, 1, 2)


@pytest.mark.parametrize("words", ["Picture 1: ", "In picture 1", "image 1, left: ", "IMAGE1 "])
def test_images_are_named_in_several_ways(words):
    assert parse_places(words + box_markup((1, 2, 3, 4)), [SIZE, SIZE]).boxes[0].image_index == 0


@pytest.mark.parametrize("words", ["Picture one: ", "images 1", "imagery 1", "the image", "1 "])
def test_other_words_do_not_name_an_image(words):
    assert parse_places(words + box_markup((1, 2, 3, 4)), [SIZE, SIZE]).boxes[0].image_index == 1


def test_a_box_is_on_the_image_that_is_named_before_it():
    text = f"In Picture 1: {box_markup((1, 2, 3, 4))}, but in Picture 2 {point_markup((500, 500))}"
    places = parse_places(text, [(100, 100), (200, 400)])
    assert (places.boxes[0].image_index, places.points[0].image_index) == (0, 1)
    assert places.points[0].xy_px == (100.0, 200.0)


def test_boxes_are_on_the_last_image_by_default():
    text = f"Picture 7 {box_markup((1, 2, 3, 4))}"
    assert parse_places(text, [SIZE, SIZE, SIZE]).boxes[0].image_index == 2
    assert parse_places(text, [SIZE, SIZE, SIZE], default_index=0).boxes[0].image_index == 0


def test_without_images_there_are_no_places():
    assert parse_places(box_markup((1, 2, 3, 4)), []).boxes == ()


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from([*GROUNDING_TOKENS, "(1,2)", ",", "(3,", "4)", "cat", " ", "Picture 2", "\n", "99999"]),
        max_size=25,
    )
)
def test_no_text_raises_an_error(pieces):
    for place in (*(places := parse_places("".join(pieces), [SIZE, SIZE])).boxes, *places.points):
        assert place.image_index in (0, 1)


def test_parsing_takes_time_linear_in_the_answer():
    hostile = BOX_START + "(1,2)" + " " * 200_000 + "x" + BOX_END + (QUAD_START + "(1,2),") * 50_000
    assert parse_places(hostile, [SIZE]).boxes == ()
