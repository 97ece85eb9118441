"""Records are checked field by field; records of other projects are converted with every file in its place."""

import pytest

from qwen2vl.common.errors import RecordError
from qwen2vl.data.foreign_records import to_record
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


def test_a_llava_entry_becomes_a_record_with_its_image_in_place():
    turns = [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A lamp."}]
    record = to_record({"id": 7, "image": "a.png", "conversations": turns}, "line 1", "web")
    assert record == TALK | {"id": "7"}
    parse_record(record)


def test_a_llama_factory_entry_keeps_the_order_of_its_files():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Compare <image> with <image>, then <video>"},
        {"role": "assistant", "content": "No."},
    ]
    record = to_record({"messages": messages, "images": ["1.png", "2.png"], "videos": ["3.mp4"]}, "line 4", "web")
    parsed = parse_record(record)
    assert [part.source for part in parsed.media] == ["1.png", "2.png", "3.mp4"]
    assert (parsed.id, parsed.kind, parsed.supervised) == ("line 4", "video", (False, False, True))
    assert [part["text"] for part in record["messages"][1]["content"] if part["type"] == "text"] == [
        "Compare",
        " with",
        ", then",
    ]


TRACE = [
    {"from": "human", "value": "What is the weather?"},
    {"from": "function_call", "value": '{"name": "Weather", "arguments": {"city": "Oslo"}}'},
    {"from": "observation", "value": "rain"},
    {"from": "gpt", "value": "It rains."},
]


def test_calls_and_observations_become_the_trace_of_an_agent():
    record = to_record({"conversations": TRACE}, "line 2", "tools")
    parsed = parse_record(record)
    assert record["kind"] == "agent"
    assert [message.role for message in parsed.messages] == ["user", "assistant", "function", "assistant"]
    assert parsed.messages[1].parts[0].text == '✿FUNCTION✿: Weather\n✿ARGS✿: {"city": "Oslo"}'
    assert parsed.supervised == (False, True, False, True)
    for value in ("Weather(Oslo)", '{"name": "Weather"}', '{"name": "Weather", "arguments": 3}'):
        turns = [TRACE[0], {"from": "function_call", "value": value}]
        with pytest.raises(RecordError, match="is a function_call but not"):
            to_record({"conversations": turns}, "line 2", "tools")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"conversations": [{"from": "human", "value": "<image> what?"}]}, "no file is named"),
        (
            {"image": ["1.png", "2.png"], "conversations": [{"from": "human", "value": "<image> what?"}]},
            "2 image files",
        ),
        ({"conversations": [{"from": "nobody", "value": "x"}]}, "nobody"),
        ({"conversations": [{"from": "human"}]}, "no text"),
        ({"text": "x"}, "known forms"),
        ([1], "JSON object"),
    ],
)
def test_entries_of_unknown_form_are_refused(entry, words):
    with pytest.raises(RecordError, match=words):
        to_record(entry, "line 1", "web")


def test_records_of_our_own_form_are_returned_unchanged():
    assert to_record(TALK, "line 1", "web") == TALK
