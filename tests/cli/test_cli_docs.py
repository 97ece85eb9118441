"""docs/cli.md has a section for every verb, with exactly its options and the keys of its JSON."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from qwen2vl.cli.main import VERBS
from qwen2vl.cli.options import CommonOptions, list_arguments
from qwen2vl.data.plan import Phase
from qwen2vl.recipes import nano
from qwen2vl.recipes.nano import nano_processor
from tests.data.conftest import build_store

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^##+ ([\w-]+(?: [\w-]+)?)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))


def list_modules():
    """Module of every verb; for a package of verbs, that of each verb in it, as "data build"."""
    found = {}
    for name, verb in VERBS.items():
        if importlib.util.find_spec(verb.module).submodule_search_locations is None:
            found[name] = verb.module
        else:
            inner = importlib.import_module(verb.module).VERBS
            found |= {f"{name} {sub}": each.module for sub, each in inner.items()}
    return found


MODULES = list_modules()


def documented_options(verb):
    return set(re.findall(r"^\| `(--[\w.-]+)` \|", SECTIONS[verb], re.MULTILINE))


def documented_keys(verb):
    return set(re.findall(r"^\| `([^`/-][^`]*)` \|", SECTIONS[verb], re.MULTILINE))


def keys_of(value, path=""):
    """{"a": {"b": 1}, "c": [{"d": 2}]} has the keys a.b and c[].d; lists of numbers and texts are one value."""
    if isinstance(value, dict):
        return {key for name, inner in value.items() for key in keys_of(inner, f"{path}.{name}".lstrip("."))}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {key for inner in value for key in keys_of(inner, f"{path}[]")}
    return {path}


def test_every_verb_has_its_section():
    assert set(SECTIONS) == set(VERBS) | set(MODULES)


@pytest.mark.parametrize("verb", MODULES)
def test_the_options_are_those_of_the_program(verb):
    """Dotted settings of recipes are listed by the help only."""
    module = importlib.import_module(MODULES[verb])
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, CommonOptions)]
    options = max(classes, key=lambda c: len(c.mro()))  # the others are its bases
    names = {argument.names[0] for argument in list_arguments(options) if not argument.is_positional}
    assert documented_options(verb) == {name for name in names if "." not in name} - {"--debug", "--verbose"}


def test_the_keys_are_those_of_chat(run, taught_directory, files, tmp_path):
    common = ["chat", "--model", taught_directory, "--image", files / "photo.png", "--json"]
    found = set()
    for argv in (["Where?", "--draw", tmp_path / "out.png"], ["Point"]):
        found |= keys_of(json.loads(run(*common, *argv).out))
    assert found - {"boxes", "points"} == documented_keys("chat")


def test_the_keys_are_those_of_cost(run):
    assert keys_of(json.loads(run("cost", "--size", "64x64", "--json").out)) == documented_keys("cost")


def test_the_keys_are_those_of_plan(run, tmp_path, monkeypatch):
    store = build_store(tmp_path, nano_processor(), 2)
    stage = replace(nano.drawn_stages()[0], steps=2, phases=(Phase(mixtures=({"pairs": 1},)),))
    monkeypatch.setattr(nano, "drawn_stages", lambda first_step: (stage,))
    printed = json.loads(run("plan", "nano", "--store", store.path, "--run-dir", tmp_path / "run", "--json").out)
    assert keys_of(printed) == documented_keys("plan")


def test_the_keys_are_those_of_env(run):
    found = keys_of(json.loads(run("env", "--json").out))
    assert {key.replace("[]", "") for key in documented_keys("env")} == {key.replace("[]", "") for key in found}
