"""Records of other projects: every file in its place, every key used or refused by name."""

import json

import pytest

from qwen2vl.common.errors import MediaError, RecordError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.foreign_records import to_record
from qwen2vl.data.records import parse_record
from qwen2vl.data.store import Store
from qwen2vl.spec.media_settings import MediaSettings
from tests.data.conftest import image_file
from tests.data.test_records import TALK

SIZES = {"1.png": (140, 140), "wide.png": (1000, 100)}


def size_of(uri):
    if uri not in SIZES:
        raise MediaError(f"there is no file {uri}")
    return SIZES[uri]


def convert(entry):
    """The record of an entry, which is checked, and the role and text of every message."""
    record = to_record(entry, "line 1", "web", size_of)
    parsed = parse_record(record)
    return record, parsed


def texts(record):
    """(role, content) of every message."""
    return [(message["role"], message["content"]) for message in record["messages"]]


QA = [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A lamp."}]
CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
IMAGE = {"type": "image", "image": "1.png"}


def test_a_llava_entry_becomes_a_record_with_its_image_in_place():
    turns = [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A lamp."}]
    record = to_record({"id": 7, "image": "a.png", "conversations": turns}, "line 1", "web", size_of)
    assert record == TALK | {"id": "7"}
    parse_record(record)


def test_a_llama_factory_entry_keeps_the_order_of_its_files():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Compare <image> with <image>, then <video>"},
        {"role": "assistant", "content": "No."},
    ]
    record = to_record(
        {"messages": messages, "images": ["1.png", "2.png"], "videos": ["3.mp4"]}, "line 4", "web", size_of
    )
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
    record = to_record({"conversations": TRACE}, "line 2", "tools", size_of)
    parsed = parse_record(record)
    assert record["kind"] == "agent"
    assert [message.role for message in parsed.messages] == ["user", "assistant", "function", "assistant"]
    assert parsed.messages[1].parts[0].text == '✿FUNCTION✿: Weather\n✿ARGS✿: {"city": "Oslo"}'
    assert parsed.supervised == (False, True, False, True)
    for value in ("Weather(Oslo)", '{"name": "Weather"}', '{"name": "Weather", "arguments": 3}'):
        turns = [TRACE[0], {"from": "function_call", "value": value}]
        with pytest.raises(RecordError, match="is a function_call but not"):
            to_record({"conversations": turns}, "line 2", "tools", size_of)


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
        to_record(entry, "line 1", "web", size_of)


def test_records_of_our_own_form_are_returned_unchanged():
    assert to_record(TALK, "line 1", "web", size_of) == TALK


def test_system_text_and_tools_become_the_system_message():
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "a town"}},
        "required": ["city"],
    }
    tools = json.dumps([{"name": "weather", "description": "Tells it.", "parameters": schema}])
    record, _ = convert({"conversations": QA, "image": "1.png", "system": "Answer in French.", "tools": tools})
    role, text = texts(record)[0]
    assert role == "system"
    assert text.startswith("Answer in French.\n\n# Actions")
    declared = '[{"name": "city", "description": "a town", "required": true, "type": "string"}]'
    assert f"### weather\n\nweather: Tells it.\nParameters: {declared}" in text
    wrapped = [{"type": "function", "function": json.loads(tools)[0]}]
    same, _ = convert({"messages": [{"role": "system", "content": "Answer in French."}, *CHAT], "tools": wrapped})
    assert texts(same)[0] == (role, text)
    plain, _ = convert({"conversations": QA[1:], "system": "Answer in French.", "tools": "[]"})
    assert texts(plain)[0] == ("system", "Answer in French.")
    assert len(texts(convert({"messages": CHAT, "system": None, "tools": ""})[0])) == 2


@pytest.mark.parametrize(
    ("marks", "supervised"),
    [
        (({"loss": False}, {}), (False, True)),
        (({"weight": 0}, {"loss": True}), (False, True)),
        (({"train": False}, {"weight": 1}), (False, True)),
        (({"weight": 1}, {"weight": 0}), (True, False)),
        (({}, {"loss": None}), (True, True)),
    ],
)
def test_a_reply_without_a_mark_is_supervised_and_a_marked_one_as_marked(marks, supervised):
    messages = [part for mark in marks for part in (CHAT[0], CHAT[1] | mark)]
    assert convert({"messages": messages})[1].supervised[1::2] == supervised


BOX = "<|box_start|>(150,171),(400,450)<|box_end|>"


def test_objects_are_converted_from_pixels_to_thousandths():
    messages = [
        {"role": "user", "content": "<image>Find <ref-object>. Is it <ref-object><bbox>?"},
        {"role": "assistant", "content": "<ref-object><bbox>, <bbox>"},
    ]
    objects = {
        "ref": ["circle", "a dot", "circle"],
        "bbox": [[1, 2], [21, 24, 56, 63], [100, 50]],
        "image_id": [0, 0, 1],
    }
    entry = {"messages": messages, "images": ["1.png", "wide.png"], "objects": objects}
    entry["messages"][0]["content"] += "<image>"
    record, _ = convert(entry)
    (_, asked), (_, reply) = texts(record)
    assert asked == [
        IMAGE,
        {"type": "text", "text": "Find circle. Is it "},
        {"type": "point", "point": [7, 14], "label": "a dot"},
        {"type": "text", "text": "?"},
        IMAGE | {"image": "wide.png"},
    ]
    assert reply == f"<|object_ref_start|>circle<|object_ref_end|>{BOX}, <|box_start|>(100,500)<|box_end|>"
    shares = {"bbox": [[0.15, 0.1715, 0.4, 0.45]], "bbox_type": "norm1"}
    entry = {"messages": [CHAT[0], {"role": "assistant", "content": "<bbox>"}], "objects": shares}
    assert texts(convert(entry)[0])[1][1] == BOX


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ({"bbox": [[21, 24, 56, 200]]}, "outside its image of 140x140"),
        ({"bbox": [[56, 24, 21, 63]]}, "left, top, right, bottom"),
        ({"bbox": [[1, 2], [3, 4]]}, "1 more bbox than"),
        ({"bbox": [[1, 2]], "ref": ["a"]}, "1 more ref than"),
        ({"ref": ["a"]}, "for which"),
        ({"bbox": [[1, 2]], "image_id": [3]}, "names image 3"),
        ({"bbox": [[1, 2, 3]]}, "2 or 4 numbers"),
        ({"bbox": [[1, 2]], "mask": 1}, "unknown key mask"),
    ],
)
def test_objects_that_do_not_fit_are_refused(objects, words):
    messages = [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "<bbox>"}]
    with pytest.raises(RecordError, match=words):
        convert({"messages": messages, "images": ["1.png"], "objects": objects})


def test_a_build_reads_the_size_of_the_image(tmp_path, processor):
    image_file(tmp_path / "1.png", 280, 140)
    messages = [{"role": "user", "content": "<image>Where?"}, {"role": "assistant", "content": "<bbox>"}]
    entry = {"messages": messages, "images": ["1.png"], "objects": {"bbox": [[28, 14, 140, 140]]}}
    (tmp_path / "my.json").write_text(json.dumps([entry]))
    out = tmp_path / "store"
    build(
        [tmp_path / "my.json"],
        BuildSettings(store=out, tokenizer=processor.tokenizer, media_root=None, media=MediaSettings()),
    )
    ids = Store(out).sample(0).ids.tolist()
    assert processor.tokenizer.decode(ids).count("<|box_start|>(100,100),(500,999)<|box_end|>") == 1


def test_alpaca_and_query_entries_with_their_history():
    history = [["q1", "a1"]]
    entry = {"instruction": "<image>What?", "input": "In one word.", "output": "Pear.", "images": ["1.png"]}
    record, parsed = convert(entry | {"system": "s", "history": history})
    assert texts(record) == [
        ("system", "s"),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", [IMAGE, {"type": "text", "text": "What?\nIn one word."}]),
        ("assistant", "Pear."),
    ]
    assert parsed.supervised == (False, False, True, False, True)
    assert texts(convert({"query": "q", "response": "a", "history": history})[0])[-2:] == [
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_parts_take_the_files_of_the_record_in_turn():
    parts = [
        {"type": "image", "text": None},
        {"type": "text", "text": "Which? <image>"},
        {"type": "image", "path": "3.png"},
    ]
    files = [{"path": "1.png", "bytes": None}, "2.png"]
    record, parsed = convert({"images": files, "messages": [{"role": "user", "content": parts}, CHAT[1]]})
    assert [part.source for part in parsed.media] == ["1.png", "2.png", "3.png"]
    assert record["kind"] == "multi_image"


CALL = '{"name": "look", "arguments": {"at": [1, 2]}}'
WRITTEN = '✿FUNCTION✿: look\n✿ARGS✿: {"at": [1, 2]}'


def test_calls_in_all_known_forms_are_written_alike():
    ask, see = {"role": "user", "content": "q"}, {"role": "tool", "content": "r"}
    openai = [{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": [1, 2]}'}}]
    for call in (
        {"from": "function_call", "value": CALL},
        {"from": "function_call", "value": f"[{CALL}]"},
        {"role": "tool_call", "content": CALL},
        {"role": "assistant", "content": None, "tool_calls": openai},
        {"role": "assistant", "content": "", "tool_calls": json.loads(f"[{CALL}]")},
    ):
        assert texts(convert({"messages": [ask, call, see, CHAT[1]]})[0])[1] == ("assistant", WRITTEN)
    both = [{"role": "tool_call", "content": CALL}] * 2
    assert texts(convert({"messages": [ask, CHAT[1], *both, see, see, CHAT[1]]})[0])[1][1] == f"a\n{WRITTEN}\n{WRITTEN}"
    two = [{"id": id, "function": {"name": "look", "arguments": {}}} for id in ("a", "b")]
    answers = [see | {"tool_call_id": "b"}, see | {"tool_call_id": "a"}]
    acting = {"role": "assistant", "tool_calls": two}
    with pytest.raises(RecordError, match="in the order of their calls"):
        convert({"messages": [ask, acting, *answers, CHAT[1]]})
    convert({"messages": [ask, acting, *answers[::-1], CHAT[1]]})


@pytest.mark.parametrize(
    ("entry", "field", "form"),
    [
        ({"conversations": QA, "image": "1.png", "weight": 2}, "weight", "LLaVA / ShareGPT"),
        ({"messages": CHAT, "loss": False}, "loss", "chat messages"),
        ({"messages": CHAT, "rejected_response": "b"}, "rejected_response", "chat messages"),
        ({"conversations": QA, "image": "1.png", "audios": ["a.wav"]}, "audios", "LLaVA / ShareGPT"),
        ({"instruction": "q", "output": "a", "text": "q a"}, "text", "Alpaca"),
        ({"messages": [CHAT[0], CHAT[1] | {"prefix": True}]}, "messages[1].prefix", "a message"),
        ({"messages": [CHAT[0], CHAT[1] | {"weight": 0.5}]}, "messages[1].weight", "true or false"),
        ({"messages": CHAT, "tools": "weather"}, "tools", "JSON"),
        ({"messages": CHAT, "tools": [{"name": "a", "returns": "x"}]}, "tools", "unknown key returns"),
        ({"messages": [{"role": "system", "content": "a"}, *CHAT], "system": "b"}, "system", "differs"),
        ({"messages": CHAT, "image": "1.png", "images": ["2.png"]}, "images", 'beside "image"'),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_with_the_name_of_the_form(entry, field, form):
    with pytest.raises(RecordError) as caught:
        convert(entry)
    assert caught.value.field == field
    assert form in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ("What is at <|box_start|>(150,171),(400,450)<|box_end|>?", ["What is at ", [150, 171, 400, 450], "?"]),
        ("What is at <box>(150,171),(400,450)</box>?", ["What is at ", [150, 171, 400, 450], "?"]),
        ("<ref>it</ref><box>(1,2)</box>", [("it", [1, 2])]),
        ("Is <|object_ref_start|>it<|object_ref_end|> red?", ["Is it red?"]),
        ("Is it <ref> or <box>?", ["Is it <ref> or <box>?"]),
    ],
)
def test_places_in_a_question_become_parts(asked, parts):
    """As letters they would mean nothing to the model."""
    turns = [{"from": "human", "value": "<|vision_start|><|image_pad|><|vision_end|>" + asked}, QA[1]]
    content = texts(convert({"conversations": turns, "image": "1.png"})[0])[0][1]
    found = [part.get("text") or part.get("box") or (part["label"], part["point"]) for part in content[1:]]
    assert content[0] == IMAGE
    assert found == parts


def test_old_markup_in_a_reply_becomes_the_markup_of_the_model():
    turns = [QA[0], {"from": "gpt", "value": "<ref>the circle</ref><box>(150,171),(400,450)</box>"}]
    reply = texts(convert({"conversations": turns, "image": "1.png"})[0])[1][1]
    assert reply == f"<|object_ref_start|>the circle<|object_ref_end|>{BOX}"
