import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwen2vl.evaluation.judging import judge
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
    assert judge(asked, Reply(text="about 44")).right
    assert not judge(asked, Reply(text="45, no, 40")).right
    assert not judge(make_item("n", kind="number", value=40.0), Reply(text="44")).right
    assert judge(asked, Reply(text="?")).metric == "number"


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


def test_all_places_of_the_answer_are_returned():
    reply = Reply(boxes=(box(0, 0, 10, 4),), points=(point(3, 4, image=1),))
    assert judge(make_item("t", kind="text", accept=["x"]), reply).places == ((0, (0, 0, 10, 4)), (1, (3, 4)))


@pytest.mark.parametrize(
    ("truth", "reply", "right"),
    [
        (TAP, call("Tap", '{"point": [550, 500]}'), True),
        (TAP, call("Tap", '{"point": [500, 400]}'), True),
        (TAP, call("Tap", '{"point": [499, 500]}'), False),
        (TAP, call("Type", '{"point": [550, 500]}'), False),
        (TAP, call("Tap", '{"point": [550, 500], "text": "Oslo"}'), True),
        (TAP, call("Tap", "{}"), False),
        (TAP, call("Tap", '{"point": [550'), False),
        (TAP, Reply("Tap (550,500)"), False),
        (TYPE, call("Type", '{"point": [550, 500], "text": "Oslo"}'), True),
        (TYPE, call("Type", '{"point": [550, 500], "text": " Oslo "}'), True),
        (TYPE, call("Type", '{"point": [550, 500], "text": "oslo"}'), False),
        (TYPE, call("Type", '{"point": [550, 500]}'), False),
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
