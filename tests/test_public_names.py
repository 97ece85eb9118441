"""The public names are those of docs/api.md, and its examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import qwen2vl

DOCS = Path(__file__).resolve().parent.parent / "docs" / "api.md"
TEXT = DOCS.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_names_are_those_of_the_docs():
    table = TEXT.split("## All names")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == qwen2vl.__all__
    assert sorted(qwen2vl.__all__) == qwen2vl.__all__


@pytest.mark.parametrize("name", qwen2vl.__all__)
def test_every_name_is_there_and_described(name):
    assert getattr(qwen2vl, name).__doc__


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'Chatt'"):
        qwen2vl.Chatt  # noqa: B018  the access itself is the test


def test_importing_the_package_is_fast():
    program = "import sys, qwen2vl; assert not {'torch', 'numpy', 'PIL', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_there_are_examples():
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize("number", range(6))
def test_examples_run(number, photo, taught_directory, tmp_path, monkeypatch):
    """The taught model replaces nano, which has the same code and larger files."""
    photo.save(tmp_path / "scene.png")
    monkeypatch.chdir(tmp_path)
    code = (
        EXAMPLES[number]
        .replace('"nano"', repr(str(taught_directory)))
        .replace("Chat()", f"Chat({str(taught_directory)!r})")
    )
    code = code.replace('# also "2b", "72b", "nano"', "")
    exec(compile(code, f"{DOCS.name}, example {number + 1}", "exec"), {})
