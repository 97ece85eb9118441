"""Where the places of an answer lie: which image, in whose pixels."""

import json

import pytest

from qwen2vl.inference.answer import build_answer, to_json
from qwen2vl.inference.replies import Reply
from qwen2vl.inference.sampling import SamplingParams

BOX = "<|box_start|>(100,200),(500,600)<|box_end|>"


@pytest.fixture
def answer_to(chat, photo):
    def make(text, sizes, videos=0):
        content = [{"type": "image", "image": photo.resize(size)} for size in sizes]
        content += [{"type": "video", "video": [photo.resize((280, 140))] * 2}] * videos
        prepared = chat.processor.prepare([{"role": "user", "content": content}])
        reply = Reply(prepared.inputs, SamplingParams().effective(10), chat.processor.tokenizer, ())
        return build_answer(text, reply, prepared.media)

    return make


def test_the_last_image_is_meant_unless_the_words_name_another(answer_to):
    sizes = [(100, 100), (200, 100), (300, 100)]
    answer = answer_to(f"{BOX} but in Picture 1 {BOX} and Picture 9 {BOX}", sizes)
    assert [box.image_index for box in answer.boxes] == [2, 0, 2]
    assert [box.xyxy_px[0] for box in answer.boxes] == [30, 10, 30]


def test_videos_are_counted_only_where_there_are_no_images(answer_to):
    (box,) = answer_to(BOX, [(100, 100)], videos=1).boxes
    assert (box.image_index, box.xyxy_px) == (0, (10, 20, 50, 60))
    (box,) = answer_to(BOX, [], videos=1).boxes
    assert (box.image_index, box.xyxy_px) == (0, (28, 28, 140, 84))
    assert answer_to(BOX, []).boxes == ()


def test_a_reply_that_was_left_counts_as_interrupted_and_is_plain_data(answer_to):
    answer = answer_to(f"here {BOX}", [(100, 100)])
    assert answer.finish_reason == "interrupted"
    told = json.loads(json.dumps(to_json(answer)))
    assert told["boxes"][0]["xyxy_px"] == [10, 20, 50, 60]
    assert told["usage"] == {
        "prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": 0, "visual_tokens": 16, "cached_tokens": 0,
    }  # fmt: skip
