"""Records are checked field by field."""

import pytest

from qwen2vl.common.errors import RecordError
from qwen2vl.data.records import parse_record

ASK = {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "What is this?"}]}
REPLY = {"role": "assistant", "content": "A lamp."}
TALK = {"id": "1", "source": "web", "kind": "vqa", "messages": [ASK, REPLY]}
ARTICLE = {
    "id": "2",
    "source": "news",
    "kind": "interleaved",
    "document": [
        {"type": "text", "text": "One"},
        {"type": "image", "image": "b.png"},
        {"type": "video", "video": "c.mp4"},
    ],
}


def test_conversations_and_documents_are_parsed():
    talk, article = parse_record(TALK), parse_record(ARTICLE)
    assert talk.supervised == (False, True)
    assert [part.source for part in talk.media] == ["a.png"]
    assert [part.source for part in article.media] == ["b.png", "c.mp4"]


def test_only_replies_with_loss_true_are_supervised_if_any_message_has_the_key():
    marked = [ASK, REPLY | {"loss": False}, ASK, REPLY | {"loss": True}]
    assert parse_record(TALK | {"messages": marked}).supervised == (False, False, False, True)


def test_the_trace_of_an_agent_is_one_record():
    screen = {"role": "function", "content": [{"type": "image", "image": "b.png"}]}
    call, done = (
        {"role": "assistant", "content": "✿FUNCTION✿: Home\n✿ARGS✿: {}"},
        {"role": "assistant", "content": "Done."},
    )
    trace = {"id": "3", "source": "phone", "kind": "agent", "messages": [ASK, call, screen, call, screen, done]}
    record = parse_record(trace)
    assert record.supervised == (False, True, False, True, False, True)
    assert [part.source for part in record.media] == ["a.png", "b.png", "b.png"]
    marked = parse_record(trace | {"messages": [ASK, call, screen, call | {"loss": True}, screen, done]})
    assert marked.supervised == (False, False, False, True, False, False)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"id": ""}, "id", "not empty"),
        ({"source": None}, "source", "not empty"),
        ({"kind": "memes"}, "kind", "the kinds are"),
        ({"extra": 1}, "extra", "not a key"),
        ({"document": []}, "messages", "either"),
        ({"messages": "hello"}, "messages", "list of messages"),
        ({"messages": []}, "messages", "empty"),
        ({"messages": [ASK]}, "messages", "no reply is supervised"),
        ({"messages": [ASK, {"role": "robot", "content": "x"}]}, "messages", "robot"),
        ({"messages": [ASK | {"loss": True}, REPLY]}, "messages[0].loss", "only replies"),
        (
            {"messages": [ASK, REPLY, {"role": "function", "content": "x", "loss": True}]},
            "messages[2].loss",
            "only replies",
        ),
        ({"messages": [ASK, {"role": "function", "content": "x"}, REPLY]}, "messages", "does not follow a call"),
        ({"messages": [ASK, REPLY | {"loss": "yes"}]}, "messages[1].loss", "true or false"),
        ({"messages": [ASK, REPLY | {"loss": False}]}, "messages", "no reply is supervised"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": 5}]}, REPLY]},
            "media 0",
            "path or a URI",
        ),
    ],
)
def test_a_bad_record_names_its_field_and_the_reason(change, field, reason):
    with pytest.raises(RecordError, match=reason) as caught:
        parse_record(TALK | change)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "document", [[], "text", [{"type": "image", "image": "b.png"}], [{"type": "box", "box": [1, 2, 3, 4]}]]
)
def test_documents_without_text_are_refused(document):
    with pytest.raises(RecordError, match="document"):
        parse_record(ARTICLE | {"document": document})


@pytest.mark.parametrize(
    ("role", "text", "words"),
    [
        ("user", "What is at <|box_start|>(1,2),(3,4)<|box_end|>?", "trained as letters: write a part"),
        ("assistant", "see <|vision_start|><|image_pad|><|vision_end|>", "trained as letters"),
        ("assistant", "It is <|box_start|>(150,170),(1280,720)<|box_end|>", "from 0 to 1000"),
        ("assistant", "<|box_start|>(0.15,0.17),(0.4,0.45)<|box_end|>", "whole numbers"),
        ("assistant", "<|box_start|>[150, 170, 400, 450]<|box_end|>", "pairs"),
        ("assistant", "<|box_start|>(400,450),(150,170)<|box_end|>", "the order is"),
        ("assistant", "<|quad_start|>(1,2),(3,4)<|quad_end|>", "4 pairs"),
        ("assistant", "<|box_start|>(1,2),(3,4)", "without <|box_end|>"),
        ("assistant", "(1,2)<|box_end|>", "without its start"),
    ],
)
def test_wrong_markup_is_refused(role, text, words):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    messages[role == "assistant"]["content"] = text
    with pytest.raises(RecordError, match=words.replace("|", r"\|")):
        parse_record(TALK | {"messages": messages})


def test_right_places_and_ordinary_brackets_are_kept():
    text = "<|object_ref_start|>a < b<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|> <|x|>"
    text += " <|quad_start|>(0,0),(1000,0),(9,9),(0,9)<|quad_end|>"
    parse_record(TALK | {"messages": [ASK, REPLY | {"content": text}]})
    part = {"type": "box", "box": [1, 2, 3, 4], "label": "it"}
    record = TALK | {"messages": [{"role": "user", "content": [part]}, REPLY]}
    assert parse_record(record).messages[0].parts[0].box == (1, 2, 3, 4)
