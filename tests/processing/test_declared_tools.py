"""Tools declared as in the OpenAI API become actions of the agent format, or are refused by name."""

import pytest

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.agent_text import Action, Parameter, declare
from qwen2vl.processing.declared_tools import actions_of

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "a town"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["city"],
}
TOOL = {"name": "weather", "description": "Tells it.", "parameters": SCHEMA}


def test_a_schema_keeps_all_of_its_keys():
    (action,) = actions_of([{"type": "function", "function": TOOL}])
    assert action == Action(
        name="weather",
        description="Tells it.",
        parameters=(
            Parameter(name="city", description="a town", schema={"type": "string"}),
            Parameter(name="unit", description="", required=False, choices=("C", "F"), schema={"type": "string"}),
            Parameter(
                name="days", description="", required=False, schema={"type": "array", "items": {"type": "integer"}}
            ),
        ),
    )
    assert actions_of([TOOL]) == (action,)
    assert '"choices": ["C", "F"], "type": "string"' in declare([action])
    assert actions_of([{"name": "home"}])[0].parameters == ()


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ({"name": "weather"}, "must be a list"),
        (["weather"], 'tool 0 has no "name"'),
        ([TOOL, {"description": "x"}], 'tool 1 has no "name"'),
        ([TOOL | {"returns": "text"}], "tool 0 has the unknown key returns"),
        ([TOOL | {"parameters": [1]}], "no JSON schema"),
        ([TOOL | {"parameters": {"properties": {"city": "string"}}}], "no JSON schema"),
        ([{"type": "retrieval", "function": TOOL}], "tool 0 must be"),
    ],
)
def test_what_is_no_declaration_is_refused(tools, words):
    with pytest.raises(MessageError, match=words):
        actions_of(tools)
