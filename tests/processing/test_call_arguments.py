"""Arguments of calls in every form that models write, and texts that are none of them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.processing.call_arguments import read_arguments, read_point


@pytest.mark.parametrize(
    "text",
    [
        '{"point": [348, 291]}',
        '{"point": (348,291)}',
        "{'point': (348, 291)}",
        "{'point': [348, 291,],}",
        "{point: [348, 291]}",
        '{"point": (348,291)} # the icon',
        '{"point": [348, 291]}; then I wait (a second)',
        '```json\n{"point": [348, 291]}\n```',
        '```\n{"point": (348,291)}\n```',
        '```{"point": (348,291)}```',
        '```json {"point": [348, 291]}```',
        '~~~python\n{"point": (348,291)}\n~~~ I tap.',
        '```json\n{"point": [348, 291]}',
        '"{\\"point\\": [348, 291]}"',
        "\"{'point': (348, 291)}\"",
    ],
)
def test_one_point_in_many_forms(text):
    assert read_arguments(text) == {"point": [348, 291]}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("{}", {}),
        ('{"text": "(1, 2), [True]"}', {"text": "(1, 2), [True]"}),
        ("{'text': 'it\\'s \"here\"'}", {"text": 'it\'s "here"'}),
        ("{'text': \"it's\"}", {"text": "it's"}),
        ("{'text': 'a, }'}", {"text": "a, }"}),
        (
            "{'on': True, 'off': false, 'none': None, 'x': -1.5e-3}",
            {"on": True, "off": False, "none": None, "x": -0.0015},
        ),
        ("{'box': ((1, 2), (3, 4))}", {"box": [[1, 2], [3, 4]]}),
        ('{"text": "two\nlines"}', {"text": "two\nlines"}),
        ("{direction: up}", {"direction": "up"}),
        ("{'text': 'Grün 数'}", {"text": "Grün 数"}),
    ],
)
def test_values_keep_their_meaning(text, arguments):
    assert read_arguments(text) == arguments


@pytest.mark.parametrize("fence", ["```py\n{}\n```", "```python\n{}\n``` done", "```\n{}```", "```{}```", "~~~\n{}\n"])
def test_fenced_code_is_the_argument_of_tools_that_run_code(fence):
    code = "print((1, 2))\nx = {'a': 1}"
    assert read_arguments(fence.replace("{}", code)) == {"code": code}


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "(348, 291)",
        '"text"',
        '"\\"{}\\""',
        "5",
        '{"point": [1,',
        '{"point": (1, 2}',
        "{'text': 'open}",
        '{"a": hello world}',
        "```json\n[1, 2]\n```",
        "```\n```",
        "{" * 100_000,
        '{"a": ' * 100_000,
        '{"' + '\\"' * 50_000,
    ],
)
def test_other_texts_are_no_arguments(text):
    assert read_arguments(text) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_json_and_python_are_read_alike(arguments):
    assert read_arguments(json.dumps(arguments)) == arguments


plain = st.text(
    st.characters(
        min_codepoint=32, max_codepoint=0x2FF, blacklist_characters="\x7f\\", blacklist_categories=("Cc", "Cf", "Zs")
    )
)


@settings(deadline=None)
@given(st.dictionaries(plain, plain | st.booleans() | st.none() | st.tuples(st.integers(), st.integers()), max_size=4))
def test_python_literals_are_read_back(arguments):
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
    assert read_arguments(repr(arguments)) == wanted


@settings(deadline=None)
@given(st.text() | st.text("{}[]()'\"\\:,a1 `\n").map("{".__add__))
def test_any_text_can_be_read(text):
    read_arguments(text)
    read_point(text)


@pytest.mark.parametrize(
    "value",
    [
        [348, 291],
        (348, 291),
        [348.0, 291.0],
        "(348, 291)",
        "(348,291)",
        "[348, 291]",
        " 348, 291 ",
        "(348.0, 291.0)",
        {"x": 348, "y": 291},
        "<|box_start|>(348,291)<|box_end|>",
    ],
)
def test_points_in_many_forms(value):
    assert read_point(value) == (348, 291)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        True,
        "",
        "348",
        "(348)",
        "(348, 291",
        "348, 291)",
        "(1, 2, 3)",
        "(1, 2), (3, 4)",
        "tap (348, 291)",
        [1],
        [1, 2, 3],
        ["1", "2"],
        [True, 2],
        [[1], 2],
        [float("nan"), 1],
        [float("inf"), 1],
        [10**400, 1],
        {"x": 1},
        {"x": 1, "y": "2"},
        "(NaN, 1)",
    ],
)
def test_other_values_are_no_points(value):
    assert read_point(value) is None
