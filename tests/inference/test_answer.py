"""From tokens to an answer: stop texts, loops, and the places that the text names."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.inference.answer import FEWEST_TOKENS, LoopDetector, RunningReply, StoppingText, rounded
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.tokens import BOX_END, BOX_START

TOKENIZER = build_nano_tokenizer([" and", "Good", " day"])
BOX = "<|box_start|>(100,200),(500,600)<|box_end|>"


@pytest.fixture
def answer_to(chat, photo):
    def make(text, sizes, videos=0):
        content = [{"type": "image", "image": photo.resize(size)} for size in sizes]
        content += [{"type": "video", "video": [photo.resize((280, 140))] * 2}] * videos
        prepared = chat.processor.prepare([{"role": "user", "content": content}])
        reply = RunningReply(prepared.inputs, SamplingParams().effective(10), chat.processor.tokenizer, ())
        return reply.to_answer(text, prepared.media)

    return make


def test_a_place_is_on_the_last_image_unless_the_words_name_another(answer_to):
    sizes = [(100, 100), (200, 100), (300, 100)]
    answer = answer_to(f"{BOX} but in Picture 1 {BOX} and Picture 9 {BOX}", sizes)
    assert [box.image_index for box in answer.boxes] == [2, 0, 2]
    assert [box.xyxy_px[0] for box in answer.boxes] == [30, 10, 30]


def test_videos_count_only_if_there_are_no_images(answer_to):
    (box,) = answer_to(BOX, [(100, 100)], videos=1).boxes
    assert (box.image_index, box.xyxy_px) == (0, (10, 20, 50, 60))
    (box,) = answer_to(BOX, [], videos=1).boxes
    assert (box.image_index, box.xyxy_px) == (0, (28, 28, 140, 84))
    assert answer_to(BOX, []).boxes == ()


def test_a_reply_that_has_not_ended_counts_as_interrupted_and_converts_to_plain_data(answer_to):
    answer = answer_to(f"here {BOX}", [(100, 100)])
    assert answer.finish_reason == "interrupted"
    data = json.loads(json.dumps(answer.to_json()))
    assert data["boxes"][0]["xyxy_px"] == [10, 20, 50, 60]
    assert data["usage"] == {
        "prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": 0, "visual_tokens": 16, "cached_tokens": 0,
    }  # fmt: skip


def test_plain_data_has_times_of_three_digits():
    assert rounded({"t": (0.1 + 0.2, 1 / 3), "n": 7, "s": "x", "none": None}) == {
        "t": [0.3, 0.333],
        "n": 7,
        "s": "x",
        "none": None,
    }


def shown(text, stop=(), ids=None):
    stopping = StoppingText(TOKENIZER, stop)
    pieces = []
    for id in TOKENIZER.encode(text) if ids is None else ids:
        pieces.append(stopping.push(id))
        if stopping.is_stopped:
            return pieces
    return [*pieces, stopping.finish()]


def test_without_stop_texts_nothing_is_held_back():
    pieces = shown("Good day")
    assert pieces[:-1] == [TOKENIZER.decode([id]) for id in TOKENIZER.encode("Good day")]


def test_a_stop_text_over_several_tokens_never_shows():
    pieces = shown("a red EN, END here", stop=["END"])
    assert "".join(pieces) == "a red EN, "
    assert all("E" not in piece or "EN," in piece for piece in pieces)


def test_an_incomplete_stop_text_is_shown_at_the_end():
    assert "".join(shown("a red EN", stop=["END"])) == "a red EN"


def test_the_earliest_of_several_stop_texts_counts():
    assert "".join(shown("one two three", stop=["three", "two"])) == "one "


def test_incomplete_characters_are_held_back_and_replaced_at_the_end():
    ids = TOKENIZER.encode("né")
    assert len(ids) == 3
    assert shown("", ids=ids) == ["n", "", "é", ""]
    assert "".join(shown("", ids=ids[:2])) == "n\ufffd"


def test_marks_of_places_are_kept_and_other_control_tokens_removed():
    ids = [TOKENIZER.special(BOX_START), *TOKENIZER.encode("(1,2)"), TOKENIZER.special(BOX_END), 1, 12]
    assert "".join(shown("", ids=ids)) == f"{BOX_START}(1,2){BOX_END}"


@settings(deadline=None, max_examples=200)
@given(st.text("abE ND", max_size=30), st.lists(st.text("abEND", min_size=1, max_size=4), max_size=3))
def test_the_text_is_cut_exactly_before_the_first_stop_text(text, stop):
    ends = [at for at in (text.find(word) for word in stop) if at >= 0]
    # The first stop text that is complete ends the reply, even if another one has begun earlier.
    joined = "".join(shown(text, stop=stop))
    if not ends:
        assert joined == text
    else:
        assert text.startswith(joined)
        assert not any(word in joined for word in stop)
        assert any(text[len(joined) :].startswith(word) for word in stop)


def fires_at(ids):
    detector = LoopDetector()
    return next((number for number, id in enumerate(ids, 1) if detector.push(id)), None)


@pytest.mark.parametrize(("unit", "expected"), [(1, 256), (3, 256), (16, 256), (20, 320), (256, 4096)])
def test_a_loop_is_found_when_it_is_long_enough(unit, expected):
    start = [10_000 + n for n in range(37)]
    found = fires_at(start + list(range(unit)) * 6000)
    assert found == 37 + expected


def test_a_unit_of_more_than_256_tokens_is_not_a_loop():
    assert fires_at(list(range(257)) * 20) is None


@pytest.mark.parametrize(
    "ids",
    [
        [7] * (FEWEST_TOKENS - 1),
        list(range(40)) * 15,
        [token for row in range(60) for token in (1, 2, row % 10, 3, row // 10, 4)],
        ([5] * 200 + [6]) * 3,
    ],
    ids=["dotted leader", "fifteen equal lines", "numbered rows of a table", "rules of dashes"],
)
def test_repetition_that_occurs_on_pages_is_not_a_loop(ids):
    assert fires_at(ids) is None
