"""Tools as other programs declare them, as actions of the agent format.

    {"type": "function", "function": {"name": "weather", "description": "...", "parameters": {JSON schema}}}     OpenAI
    {"name": "weather", "description": "...", "parameters": {JSON schema}}                                     the same, bare

How actions are written into the system message: `agent_text.declare`.
"""

from collections.abc import Mapping
from typing import Any

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.agent_text import Action, Parameter

TOOL_KEYS = frozenset({"name", "description", "parameters", "strict"})


def actions_of(tools: Any) -> tuple[Action, ...]:
    """Convert a list of declared tools. Raises MessageError with the number of the tool and the reason."""
    if not isinstance(tools, list):
        raise MessageError(f"the tools are a {type(tools).__name__}: they must be a list of declared functions")
    return tuple(_action(f"tool {number}", tool) for number, tool in enumerate(tools))


def _action(where: str, tool: Any) -> Action:
    if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        if set(tool) - {"type", "function"} or tool.get("type", "function") != "function":
            raise MessageError(f'{where} must be {{"type": "function", "function": {{"name": ..., ...}}}}')
        tool = tool["function"]
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str) or not tool["name"].strip():
        raise MessageError(f'{where} has no "name": write {{"name": ..., "description": ..., "parameters": ...}}')
    if unknown := sorted(set(tool) - TOOL_KEYS):
        raise MessageError(f"{where} has the unknown key {unknown[0]}: valid are {', '.join(sorted(TOOL_KEYS))}")
    schema = tool.get("parameters") or {}
    properties = schema.get("properties") or {} if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not all(isinstance(each, Mapping) for each in properties.values()):
        raise MessageError(f'{where} has "parameters" that are no JSON schema of an object with "properties"')
    required = schema.get("required") or ()
    return Action(
        name=tool["name"],
        description=str(tool.get("description") or ""),
        parameters=tuple(_parameter(name, each, name in required) for name, each in properties.items()),
    )


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> Parameter:
    rest = {key: value for key, value in schema.items() if key not in ("description", "enum")}
    return Parameter(
        name=name,
        description=str(schema.get("description") or ""),
        required=required,
        choices=tuple(schema.get("enum") or ()),
        schema=rest,
    )
