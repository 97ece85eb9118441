"""Answers are scored by the kind of truth of their item, whatever a model writes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwen2vl.evaluation.judging import judge
from qwen2vl.processing.grounding import box_markup, parse_places
from tests.evaluation.conftest import Reply, box, make_item, point

SCREEN = Image.new("RGB", (200, 100))
TAP = {"kind": "action", "name": "Tap", "box_px": [100, 40, 120, 60], "text": None, "size": [200, 100]}
TYPE = TAP | {"name": "Type", "text": "Oslo"}
DONE = {"kind": "action", "name": "Done", "box_px": None, "text": None}


def call(name, arguments):
    return Reply(f"✿FUNCTION✿: {name}\n✿ARGS✿: {arguments}")


def test_text_must_be_one_of_the_accepted_answers():
    asked = make_item("t", kind="text", accept=["red circle", "a red circle"])
    judged = judge(asked, Reply(text="a red circle"))
    assert (judged.right, judged.score, judged.metric) == (True, 1, "exact")
    assert not judge(asked, Reply(text="circle")).right


def test_text_may_be_scored_by_similarity():
    judged = judge(make_item("t", kind="text", accept=["abcde", "b"], metric="anls"), Reply(text="ABCDx"))
    assert (judged.right, judged.score, judged.metric) == (False, 0.8, "anls")


def test_numbers_have_a_tolerance():
    asked = make_item("n", kind="number", value=40.0, tolerance=0.1)
    assert judge(asked, Reply(text="44")).right
    assert not judge(asked, Reply(text="45")).right
    assert not judge(make_item("n", kind="number", value=40.0), Reply(text="44")).right
    assert judge(asked, Reply(text="?")).metric == "number"


def test_answers_about_charts_may_be_percent_or_text():
    assert judge(make_item("n", kind="number", value=0.05), Reply(text="5%")).right
    assert judge(make_item("n", kind="number", value="5%"), Reply(text="0.05")).right
    assert judge(make_item("n", kind="number", value="Norway"), Reply(text="norway")).right


def test_a_box_is_right_from_an_overlap_of_one_half():
    asked = make_item("b", kind="box", box_px=[0, 0, 10, 10])
    assert judge(asked, Reply(boxes=(box(0, 0, 10, 5),))).right
    missed = judge(asked, Reply(boxes=(box(0, 0, 10, 4),)))
    assert (missed.right, missed.overlap, missed.metric) == (False, 0.4, "iou")
    assert judge(asked, Reply(text="no box at all")).overlap == 0


def test_a_point_must_lie_inside():
    asked = make_item("p", kind="point", box_px=[0, 0, 10, 10])
    assert judge(asked, Reply(points=(point(10, 10),))).right
    assert not judge(asked, Reply(points=(point(11, 5),))).right
    assert not judge(asked, Reply()).right


@pytest.mark.parametrize(("image", "is_right"), [(0, False), (1, False), (2, True)])
def test_a_place_on_another_image_than_the_last_is_wrong(image, is_right):
    images = [Image.new("RGB", (20, 20))] * 3
    boxed = judge(
        make_item("b", *images, kind="box", box_px=[0, 0, 10, 10]), Reply(boxes=(box(0, 0, 10, 10, image=image),))
    )
    assert (boxed.right, boxed.overlap) == (is_right, float(is_right))
    pointed = make_item("p", *images, kind="point", box_px=[0, 0, 10, 10])
    assert judge(pointed, Reply(points=(point(5, 5, image=image),))).right == is_right


def test_the_first_place_counts_even_if_a_later_one_is_on_the_right_image():
    asked = make_item("b", SCREEN, SCREEN, kind="box", box_px=[0, 0, 10, 10])
    assert not judge(asked, Reply(boxes=(box(0, 0, 10, 10, image=0), box(0, 0, 10, 10, image=1)))).right


def test_images_of_earlier_turns_count():
    asked = make_item("b", SCREEN, kind="box", box_px=[0, 0, 10, 10])
    messages = [*make_item("a", SCREEN).messages, {"role": "assistant", "content": "yes"}, *asked.messages]
    asked = replace(asked, messages=messages)
    assert [judge(asked, Reply(boxes=(box(0, 0, 10, 10, image=i),))).right for i in (0, 1)] == [False, True]


@pytest.mark.parametrize(("images", "index"), [(0, 1), (1, 0)])
def test_places_are_on_the_last_video_only_without_images(images, index):
    asked = make_item("b", *[SCREEN] * images, kind="box", box_px=[0, 0, 10, 10])
    asked.messages[0]["content"][:0] = [{"type": "video", "video": [SCREEN, SCREEN]}] * 2
    assert [judge(asked, Reply(boxes=(box(0, 0, 10, 10, image=i),))).right for i in (0, 1)] == [
        i == index for i in (0, 1)
    ]


def test_the_image_that_the_words_before_a_box_name_decides():
    asked = make_item("b", SCREEN, SCREEN, kind="box", box_px=[0, 0, 100, 50])
    sizes = [image.size for image in (SCREEN, SCREEN)]
    for words, is_right in (("", True), ("Picture 2: ", True), ("Picture 1: ", False)):
        text = words + box_markup((0, 0, 500, 500))
        assert judge(asked, Reply(text, parse_places(text, sizes).boxes)).right == is_right


def test_all_places_of_the_answer_are_returned():
    reply = Reply(boxes=(box(0, 0, 10, 4),), points=(point(3, 4, image=1),))
    assert judge(make_item("t", kind="text", accept=["x"]), reply).places == ((0, (0, 0, 10, 4)), (1, (3, 4)))


@pytest.mark.parametrize(
    ("truth", "reply", "right"),
    [
        (TAP, call("Tap", '{"point": [550, 500]}'), True),
        (TAP, call("Tap", '{"point": [500, 400]}'), True),
        (TAP, call("Tap", '{"point": [499, 500]}'), False),
        (TAP, call("Tap", '{"point": (550,500)}'), True),
        (TAP, call("Tap", '{"point": (499,500)}'), False),
        (TAP, call("Tap", '{"point": "(550, 500)"}'), True),
        (TAP, call("Tap", '{"point": "[550, 500]"}'), True),
        (TAP, call("Tap", '{"point": "(499, 500)"}'), False),
        (TAP, call("Tap", '{"point": "(550, 500"}'), False),
        (TAP, call("Tap", "{'point': (550, 500)} # the button"), True),
        (TAP, call("Tap", '"{\\"point\\": [550, 500]}"'), True),
        (TAP, call("Tap", '```json\n{"point": [550, 500]}\n```'), True),
        (TAP, Reply('I tap. *FUNCTION*: Tap\n*ARGS*: {"point": (550,500)}'), True),
        (TAP, call("Type", '{"point": [550, 500]}'), False),
        (TAP, call("Tap", '{"point": [550, 500], "text": "Oslo"}'), True),
        (TAP, call("Tap", "{}"), False),
        (TAP, call("Tap", '{"point": [550'), False),
        (TAP, Reply("Tap (550,500)"), False),
        (TYPE, call("Type", '{"point": [550, 500], "text": "Oslo"}'), True),
        (TYPE, call("Type", '{"point": [550, 500], "text": " Oslo "}'), True),
        (TYPE, call("Type", '{"point": [550, 500], "text": "oslo"}'), False),
        (TYPE, call("Type", '{"point": [550, 500]}'), False),
        (TYPE | {"text": "2013"}, call("Type", '{"point": [550, 500], "text": 2013}'), True),
        (TYPE, call("Type", '{"point": [0, 0], "text": "Oslo"}'), False),
        (DONE, Reply("✿FUNCTION✿: Done"), True),
        (DONE, call("Done", "{}"), True),
        (DONE, call("Tap", '{"point": [550, 500]}'), False),
        (DONE, Reply("Done"), False),
    ],
)
def test_an_action_needs_its_name_point_and_text(truth, reply, right):
    judged = judge(make_item("a", SCREEN, **truth), reply)
    assert (judged.right, judged.metric) == (right, "action")


def test_the_first_of_several_calls_counts():
    both = Reply("I tap. ✿FUNCTION✿: Tap\n✿ARGS✿: {}\n✿FUNCTION✿: Done\n✿ARGS✿: {}")
    assert not judge(make_item("a", SCREEN, **DONE), both).right


def test_without_a_size_in_the_truth_points_are_on_the_last_image():
    truth = {key: value for key, value in TAP.items() if key != "size"}
    reply = call("Tap", '{"point": [550, 500]}')
    judged = judge(make_item("a", Image.new("RGB", (9, 9)), SCREEN, **truth), reply)
    assert judged.right
    assert judged.places == ((1, (110.0, 50.0)),)
    assert not judge(make_item("a", **truth), reply).right


@settings(deadline=None)
@given(st.one_of(st.text(), st.text().map("✿FUNCTION✿: Tap\n✿ARGS✿: ".__add__)))
def test_any_reply_can_be_judged(text):
    assert not judge(make_item("a", SCREEN, **TAP), Reply(text)).right


@pytest.mark.parametrize("value", ["NaN", "1e999", "true", '"5"', "null", "[1]", "{}", "1" + "0" * 400])
def test_invalid_points_are_wrong(value):
    judged = judge(make_item("a", SCREEN, **TAP), call("Tap", f'{{"point": [{value}, 500]}}'))
    assert not judged.right
    assert judged.places == ()
