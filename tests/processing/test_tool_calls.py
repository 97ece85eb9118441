"""Tools, calls and results in the shape of the OpenAI API, and their text in the agent format."""

import json

import pytest

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.agent_text import parse_reply
from qwen2vl.processing.chat_template import declare_tools, render, render_text
from qwen2vl.processing.declared_tools import actions_of
from qwen2vl.processing.messages import parse_messages
from qwen2vl.processing.tool_calls import calls_of, message_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "its name"},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["city"],
        },
    },
}
USER = {"role": "user", "content": "Weather in Oslo and Rome?"}


def call(id, city, **keys):
    return {
        "id": id,
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps({"city": city})},
    } | keys


def rendered(messages, tools=None):
    parsed = parse_messages(messages)
    return render_text(render(declare_tools(parsed, actions_of(tools)) if tools else parsed))


def turn_of(messages):
    """Text of the assistant's turn."""
    return rendered(messages).split("<|im_start|>assistant\n")[1]


BOTH = '✿FUNCTION✿: weather\n✿ARGS✿: {"city": "Oslo"}\n✿FUNCTION✿: weather\n✿ARGS✿: {"city": "Rome"}'
RESULTS = "\n✿RESULT✿: 4 degrees\n✿RESULT✿: 18 degrees\n✿RETURN✿:"


def test_calls_and_results_are_one_turn_in_the_agent_format():
    calling = {"role": "assistant", "content": None, "tool_calls": [call("a", "Oslo"), call("b", "Rome")]}
    results = [
        {"role": "tool", "tool_call_id": "a", "content": "4 degrees"},
        {"role": "tool", "tool_call_id": "b", "name": "weather", "content": [{"type": "text", "text": "18 degrees"}]},
    ]
    assert turn_of([USER, calling, *results]) == BOTH + RESULTS
    assert turn_of([USER, calling, *results[::-1]]) == BOTH + RESULTS, "results are put in the order of the calls"
    assert turn_of([USER, calling, *results, {"role": "assistant", "content": "Cold."}]).startswith(
        BOTH + RESULTS + " Cold.<|im_end|>"
    )


@pytest.mark.parametrize(
    "arguments",
    ['{"city": "Oslo"}', {"city": "Oslo"}, '"{\\"city\\": \\"Oslo\\"}"', "{'city': 'Oslo'}"],
)
def test_arguments_may_be_json_or_an_object(arguments):
    for one in (
        {"id": "a", "function": {"name": "weather", "arguments": arguments}},
        {"name": "weather", "arguments": arguments},
    ):
        calling = {"role": "assistant", "content": "", "tool_calls": [one], "refusal": None, "audio": None}
        assert turn_of([USER, calling]).startswith('✿FUNCTION✿: weather\n✿ARGS✿: {"city": "Oslo"}<|im_end|>')
    older = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": arguments}}
    assert turn_of([USER, older]).startswith('✿FUNCTION✿: weather\n✿ARGS✿: {"city": "Oslo"}<|im_end|>')


def test_words_before_a_call_and_arguments_that_are_not_json_are_kept():
    calling = {"role": "assistant", "content": "I look.\n", "tool_calls": [{"name": "run", "arguments": "ls -l"}]}
    assert turn_of([USER, calling]).startswith("I look.\n✿FUNCTION✿: run\n✿ARGS✿: ls -l<|im_end|>")
    parts = calling | {"content": [{"type": "text", "text": "I look."}]}
    assert turn_of([USER, parts]).startswith("I look.\n✿FUNCTION✿: run\n✿ARGS✿: ls -l<|im_end|>")


def test_an_image_can_be_the_result_of_a_call():
    shot = {"role": "tool", "content": [{"type": "image", "image": "a.png"}]}
    calling = {"role": "assistant", "content": "Look.", "tool_calls": [{"name": "shot", "arguments": {}}]}
    assert "✿RESULT✿: <|vision_start|><|image_pad|><|vision_end|>\n✿RETURN✿:" in rendered([USER, calling, shot])


def test_tools_are_declared_in_the_system_message():
    for head, begin in (
        ([], "You are a helpful assistant."),
        ([{"role": "system", "content": "Be brief."}], "Be brief."),
    ):
        text = rendered([*head, USER], [WEATHER])
        assert text.startswith(
            f"<|im_start|>system\n{begin}\n\n# Actions\n\n## You have the following actions:\n\n### weather\n"
        )
        assert text.count("<|im_start|>system") == 1
        assert "✿FUNCTION✿: The action to take, one of [weather]" in text
    line = next(line for line in text.splitlines() if line.startswith("Parameters: "))
    assert json.loads(line.removeprefix("Parameters: ")) == [
        {"name": "city", "description": "its name", "required": True, "type": "string"},
        {"name": "unit", "description": "", "required": False, "choices": ["C", "F"], "type": "string"},
    ]


WRONG = [
    ([{"role": "assistant", "content": "", "tool_calls": "x"}], "tool_calls"),
    ([{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}], 'message 1, call 0 has no "name"'),
    ([{"role": "assistant", "content": "", "tool_calls": [{"name": "a", "arguments": 3}]}], "arguments"),
    ([{"role": "assistant", "content": "", "tool_calls": [{"name": "a", "argument": {}}]}], "is not of the form"),
    ([{"role": "assistant", "content": "", "tool_calls": [call("a", "x"), call("a", "y")]}], "the same id"),
    (
        [
            {"role": "assistant", "content": "", "tool_calls": [call("a", "x")]},
            {"role": "tool", "tool_call_id": "z", "content": ""},
        ],
        "message 2 is a result of the call 'z': the calls of the assistant before it are a",
    ),
    (
        [{"role": "assistant", "content": "", "tool_calls": [call("a", "x")]}]
        + [{"role": "tool", "tool_call_id": "a", "content": ""}] * 2,
        "message 3 is a second result of the call 'a'",
    ),
    (
        [
            {"role": "assistant", "content": "", "tool_calls": [call("a", "x"), call("b", "y")]},
            {"role": "tool", "tool_call_id": "b", "content": ""},
        ],
        "the call 'a' has no result",
    ),
    ([{"role": "tool", "tool_call_id": ["a"], "content": ""}], "message 1 is a result of the call ['a']"),
    ([{"role": "user", "content": "", "tool_calls": []}], "unknown key tool_calls"),
]


@pytest.mark.parametrize(("turns", "says"), WRONG)
def test_wrong_calls_and_results_are_refused_by_name(turns, says):
    with pytest.raises(MessageError) as error:
        parse_messages([USER, *turns])
    assert says in str(error.value)


def test_calls_of_a_reply_have_the_shape_of_the_api_and_give_the_same_text_again():
    text = "I look.\n" + BOTH + "\n✿FUNCTION✿: run\n✿ARGS✿: ls {"
    calls = calls_of(parse_reply(text))
    assert [one.id for one in calls] == ["call_0", "call_1", "call_2"]
    assert calls[0].arguments == {"city": "Oslo"}
    assert (calls[2].arguments, calls[2].text) == (None, "ls {")
    assert calls[1].to_openai() == {
        "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
    }  # fmt: skip
    message = message_of(text, calls)
    assert message["content"] == "I look."
    assert turn_of([USER, message]).startswith(text + "<|im_end|>")
    assert message_of("Hello", ()) == {"role": "assistant", "content": "Hello"}
