"""The text form of agents: declaration, round trip of replies, malformed calls, and thoughts shown without parts of keywords."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.agent_text import (
    ARGS,
    FUNCTION,
    RESULT,
    RETURN,
    STOPS,
    Action,
    AgentReply,
    BadCall,
    Call,
    Parameter,
    ReplyReader,
    declare,
    parse_reply,
    render_reply,
)

TAP = Action(
    name="Tap",
    description="touch the screen",
    parameters=(Parameter(name="point", description="(x, y) in thousandths"),),
)
SWIPE = Action(
    name="Swipe",
    description="move the page",
    parameters=(Parameter(name="direction", description="where to", choices=("up", "down"), required=False),),
)
HOME = Action(name="Home", description="go to the first page")


def test_a_declaration_names_every_action_with_its_parameters_as_json():
    text = declare([TAP, SWIPE, HOME])
    assert text.startswith(
        "You are a helpful assistant.\n\n# Actions\n\n## You have the following actions:\n\n### Tap\n"
    )
    lines = [line.removeprefix("Parameters: ") for line in text.splitlines() if line.startswith("Parameters: ")]
    assert [len(json.loads(line)) for line in lines] == [1, 1, 0]
    assert json.loads(lines[1])[0]["choices"] == ["up", "down"]
    assert f"{FUNCTION}: The action to take, one of [Tap,Swipe,Home]" in text


@pytest.mark.parametrize("actions", [[], [TAP, TAP]])
def test_no_actions_or_actions_with_equal_names_are_refused(actions):
    with pytest.raises(MessageError, match="each name once"):
        declare(actions)


words = st.text(st.characters(blacklist_characters="✿", blacklist_categories=("Cs",)), max_size=30).map(str.strip)
arguments = st.dictionaries(
    st.sampled_from(["point", "text"]), st.one_of(st.integers(), words, st.lists(st.integers()))
)
calls = st.lists(st.builds(Call, st.sampled_from(["Tap", "Swipe"]), arguments), max_size=3).map(tuple)


@settings(deadline=None)
@given(words, calls, st.lists(st.integers(1, 9), min_size=1))
def test_a_written_reply_is_read_back_in_pieces_of_any_length(thought, called, lengths):
    reply = AgentReply(thought=thought, calls=called)
    text = render_reply(reply) + f"\n{RESULT}: an image\n{RETURN}: done"
    assert parse_reply(text) == reply
    reader, shown, at = ReplyReader(), "", 0
    while at < len(text):
        for length in lengths:
            shown += reader.feed(text[at : at + length])
            at += length
            assert "✿" not in shown
    assert reader.finish() == reply
    assert shown.strip() == thought


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (f"{FUNCTION}Tap{ARGS}" + '{"point": [1, 2]}', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: Tap\n{ARGS}: " + '{"point": [1, 2]} # the icon', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: Tap\n{ARGS}: ```json\n" + '{"point": [1, 2]}\n```', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: Home", Call("Home", {})),
        (f"{FUNCTION}: Home\n{ARGS}:", Call("Home", {})),
        (f"{FUNCTION}: Tap\n{ARGS}: " + '{"point": [1,', BadCall("Tap", '{"point": [1,')),
        (f"{FUNCTION}: Tap\n{ARGS}: [1, 2]", BadCall("Tap", "[1, 2]")),
        (f"{FUNCTION}: Tap\n{ARGS}: " + '{"point": (348,291)}', Call("Tap", {"point": [348, 291]})),
        (f"{FUNCTION}: Tap\n{ARGS}: " + "{'point': (348, 291)} done", Call("Tap", {"point": [348, 291]})),
        (f"{FUNCTION}: Tap\n{ARGS}: " + '"{\\"point\\": [1, 2]}"', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: run\n{ARGS}:\n```py\nprint(1)\n```\nThat prints 1.", Call("run", {"code": "print(1)"})),
        (f"{FUNCTION}: `Tap`.\n{ARGS}: " + '{"point": [1, 2]}', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: Tap\n" + '{"point": [1, 2]}', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}：Tap\n{ARGS}：" + '{"point": [1, 2]}', Call("Tap", {"point": [1, 2]})),
        (f"{FUNCTION}: Turn left", Call("Turn left", {})),
    ],
)
def test_malformed_calls_are_corrected_or_kept_as_text(text, call):
    assert parse_reply(text).calls == (call,)


STARRED = [
    '*FUNCTION*: Tap\n*ARGS*: {"point": (348,291)}\n*RESULT*: an image\n*RETURN*: done',
    '*FUNCTION*: Tap *ARGS*: {"point": (348,291)}; *RESULT*: an image',
    '*FUNCTION* Tap\n*ARGS* {"point": (348,291)}',
    '**FUNCTION**: Tap\n**ARGS**: {"point": (348,291)}\n**RETURN**: done',
    '**FUNCTION:** Tap\n**ARGS:** {"point": (348,291)}',
    '∗FUNCTION∗: Tap\n∗ARGS∗: {"point": (348,291)}',
    '＊FUNCTION＊：Tap\n＊ARGS＊：{"point": (348,291)}',
    '  *FUNCTION*: Tap\n ✿ARGS✿: ```json\n{"point": (348,291)}\n```\n*RESULT*:',
]


@pytest.mark.parametrize("text", STARRED)
@pytest.mark.parametrize("thought", ["", "I press *RETURN* now, **then** tap.\n", "2 * 3 * 4\n"])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 1000])
def test_keywords_with_asterisks_are_read_in_pieces_of_any_length(thought, text, length):
    text = thought + text
    reader = ReplyReader()
    shown = "".join(reader.feed(text[at : at + length]) for at in range(0, len(text), length))
    assert shown.strip() == thought.strip()
    assert reader.finish() == AgentReply(thought=thought.strip(), calls=(Call("Tap", {"point": [348, 291]}),))


def test_several_calls_with_asterisks_are_read_up_to_the_first_result():
    text = "*FUNCTION*: Home *ARGS*: {}\n*FUNCTION*: Tap *ARGS*: {'point': (1, 2)}\n*RESULT*: x\n*FUNCTION*: Back"
    assert parse_reply(text).calls == (Call("Home", {}), Call("Tap", {"point": [1, 2]}))


@pytest.mark.parametrize(
    "text", ["Press the *RETURN* key", "*function*: x", "a*FUNCTION*b", "*FUNCTIONS*: x", "*ARGS*: {}", "*RETURN"]
)
def test_asterisks_that_are_no_keyword_are_text(text):
    assert parse_reply(text) == AgentReply(thought=text)


def test_the_model_stops_at_results_in_both_spellings():
    assert {RESULT, RETURN, "*RESULT*:", "*RETURN*:"} == set(STOPS)


def test_a_flower_character_outside_a_keyword_is_text():
    reader = ReplyReader()
    assert reader.feed("a ✿") + reader.feed("FUN") + reader.feed(" flower") == "a ✿FUN flower"
    assert reader.finish().thought == "a ✿FUN flower"
