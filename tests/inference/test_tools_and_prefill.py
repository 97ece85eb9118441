"""Replies that call tools, and replies that the caller has begun."""

import json

import pytest

from qwen2vl.common.errors import MessageError
from qwen2vl.inference import Chat, Session
from qwen2vl.inference.answer import RunningReply
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.processing.agent_text import STOPS
from tests.processing.test_tool_calls import BOTH, WEATHER

USER = {"role": "user", "content": "Weather in Oslo and Rome?"}
GREETING = "Good day, dear world. END of it."
BOX = "<|object_ref_start|>red dot<|object_ref_end|><|box_start|>(100,200),(500,600)<|box_end|>"


def reply_with(chat, text, **options):
    """The answer when the model writes `text`, token by token; None if it does not end by itself."""
    prepared = chat.prepare([USER], options.get("tools"), False)
    reply = chat.new_reply(prepared, SamplingParams())
    tokens = iter([*chat.processor.tokenizer.encode(text), chat.end_ids[0]])
    pieces = []
    while reply.finish_reason is None:
        pieces.append(reply.accept(next(tokens)))
    return reply.to_answer("".join(pieces), prepared.media)


def test_a_reply_ends_where_the_result_of_its_calls_follows(chat):
    answer = reply_with(chat, f"I look.\n{BOTH}\n✿RESULT✿: 30 degrees, invented", tools=[WEATHER])
    assert answer.text == f"I look.\n{BOTH}\n"
    assert answer.finish_reason == "tool_calls"
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("weather", {"city": "Oslo"}),
        ("weather", {"city": "Rome"}),
    ]
    assert answer.settings.stop == STOPS
    assert answer.to_json()["tool_calls"][1]["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    json.dumps(answer.to_json())


def test_the_message_of_an_answer_continues_the_conversation(chat):
    answer = reply_with(chat, BOTH, tools=[WEATHER])
    results = [{"role": "tool", "tool_call_id": call.id, "content": "4"} for call in answer.tool_calls]
    second = chat.chat([USER, answer.message, *results], tools=[WEATHER], max_new_tokens=3)
    plain = [USER, {"role": "assistant", "content": BOTH}, *[{"role": "function", "content": "4"}] * 2]
    assert second.usage.prompt_tokens == chat.prepare(plain, [WEATHER], False).inputs.num_tokens


def test_a_reply_without_a_call_ends_with_stop(chat):
    answer = reply_with(chat, "It is cold.", tools=[WEATHER])
    assert (answer.finish_reason, answer.tool_calls) == ("stop", ())
    assert answer.message == {"role": "assistant", "content": "It is cold."}


def test_without_declared_tools_the_same_text_is_no_call(chat):
    answer = reply_with(chat, BOTH)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (BOTH, (), "stop")
    assert answer.settings.stop == ()


def test_tools_of_the_constructor_and_of_a_request(taught_model, taught_processor, chat):
    with_tools = Chat.from_parts(taught_model, taught_processor, tools=[WEATHER])
    bare = chat.chat([USER], max_new_tokens=2)
    for answer in (
        with_tools.chat([USER], max_new_tokens=2),
        chat.chat([USER], tools=[WEATHER], max_new_tokens=2),
        chat.ask(USER["content"], tools=[WEATHER], max_new_tokens=2),
        chat.batch([[USER]], tools=[WEATHER["function"]], max_new_tokens=2)[0],
        Session(with_tools).ask(USER["content"], max_new_tokens=2).answer,
    ):
        assert answer.usage.prompt_tokens > bare.usage.prompt_tokens + 100
        assert answer.settings.stop == STOPS
    assert with_tools.chat([USER], tools=[], max_new_tokens=2) == bare
    assert chat.processor([USER], tools=[WEATHER]).num_tokens == answer.usage.prompt_tokens


@pytest.mark.parametrize(
    ("tools", "says"),
    [("weather", "tools is of type str"), ([{}], 'tool 0 has no "name"'), ([WEATHER, WEATHER], "each name once")],
)
def test_wrong_tools_are_refused(taught_model, taught_processor, chat, tools, says):
    with pytest.raises(MessageError, match=says):
        Chat.from_parts(taught_model, taught_processor, tools=tools)
    with pytest.raises(MessageError, match=says):
        chat.chat([USER], tools=tools)


@pytest.mark.parametrize("cut", [4, 9, 14])
def test_a_begun_reply_is_continued(chat, cut):
    """At the ends of the taught tokens the rest of the taught reply follows."""
    begun = GREETING[:cut]
    answer = chat.ask("Greet", prefill=begun)
    assert (answer.prefill, answer.text) == (begun, GREETING[cut:])
    messages = [{"role": "user", "content": "Greet"}, {"role": "assistant", "content": begun}]
    assert chat.chat(messages, continue_final_message=True) == answer
    assert chat.batch([messages], continue_final_message=True) == [answer]
    assert "".join(chat.stream(messages, continue_final_message=True)) == answer.text
    assert answer.message == {"role": "assistant", "content": GREETING}


def test_the_prompt_of_a_begun_reply_is_that_of_the_whole_reply_without_its_end(chat):
    messages = [{"role": "user", "content": "Greet"}, {"role": "assistant", "content": "Good day,"}]
    begun = chat.processor(messages, continue_final_message=True)
    whole = chat.processor(messages, add_generation_prompt=False)
    assert begun.ids.tolist() == whole.ids[: begun.num_tokens].tolist()
    assert begun.num_tokens < whole.num_tokens


def test_an_empty_beginning_is_a_plain_request(chat):
    plain = chat.ask("Greet")
    user = {"role": "user", "content": "Greet"}
    assert chat.ask("Greet", prefill="") == plain
    for content in ("", [], [{"type": "text", "text": ""}]):
        assert chat.chat([user, {"role": "assistant", "content": content}], continue_final_message=True) == plain
    calling = [user, {"role": "assistant", "content": BOTH}, {"role": "function", "content": "4"}]
    empty = [*calling, {"role": "assistant", "content": ""}]
    assert chat.processor(empty, continue_final_message=True).ids.equal(chat.processor(calling).ids)


def test_places_begun_by_the_caller_are_read(chat, photo):
    answer = chat.ask("Where?", images=[photo], prefill=BOX[: BOX.index("(") + 1])
    assert answer.text == BOX[BOX.index("(") + 1 :]
    (box,) = answer.boxes
    assert (box.label, box.xyxy_1000) == ("red dot", (100, 200, 500, 600))


def test_a_box_part_can_begin_a_reply(chat, photo):
    parts = [{"type": "image", "image": photo}, {"type": "text", "text": "Where?"}]
    begun = [{"type": "box", "box": [100, 200, 500, 600], "label": "red dot"}]
    answer = chat.chat(
        [{"role": "user", "content": parts}, {"role": "assistant", "content": begun}], continue_final_message=True
    )
    assert (answer.prefill, answer.text, answer.finish_reason) == (BOX, "", "stop")
    assert answer.boxes[0].xyxy_1000 == (100, 200, 500, 600)


def test_a_reply_after_the_result_of_a_call_can_be_begun(chat):
    calling = [USER, {"role": "assistant", "content": BOTH}, {"role": "tool", "content": "4"}]
    answer = chat.chat(
        [*calling, {"role": "assistant", "content": "It is"}], continue_final_message=True, max_new_tokens=2
    )
    assert answer.usage.prompt_tokens > chat.processor(calling).num_tokens


def test_a_session_keeps_the_whole_reply(chat):
    session = Session(chat)
    session.ask("Greet", prefill="Good day,").answer  # noqa: B018  reading it runs the stream
    assert session.messages[-1]["content"] == GREETING
    assert session.ask("Greet", max_new_tokens=4).answer.usage.cached_tokens > 20


def test_only_the_assistant_can_be_continued(chat):
    with pytest.raises(MessageError, match='has the role "user": only a message of the "assistant" can be continued'):
        chat.chat([USER], continue_final_message=True)
    with pytest.raises(MessageError, match="continue_final_message=True"):
        chat.chat([USER, {"role": "assistant", "content": "Good"}])
    with pytest.raises(MessageError, match="prefill is of type int"):
        chat.ask("Greet", prefill=5)


def test_calls_that_the_caller_began_are_read(chat):
    prepared = chat.prepare([USER, {"role": "assistant", "content": BOTH[:30]}], [WEATHER], True)
    reply = RunningReply(
        prepared.inputs, SamplingParams().effective(9), chat.processor.tokenizer, (), prepared.prefill, True
    )
    assert [call.arguments for call in reply.to_answer(BOTH[30:], ()).tool_calls] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
