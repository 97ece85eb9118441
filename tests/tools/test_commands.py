"""Every `python -m MODULE` that docs, docstrings, Makefile and continuous integration name can be run."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("qwen2vl", "drawn_world", "benchmarks", "experiments", "tools", "examples")
FILES = [ROOT / "README.md", ROOT / "Makefile", ROOT / ".ci" / "run", *ROOT.glob("docs/*.md"), *ROOT.glob("scripts/*")]
FILES += [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]


def commands_of(file: Path) -> set[str]:
    return set(re.findall(r"python3? -m ([a-z_][\w.]*\w)", file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", sorted({module for file in FILES for module in commands_of(file)}))
def test_the_module_of_a_command_exists(module: str) -> None:
    spec = find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations:
        assert find_spec(f"{module}.__main__"), "a package needs __main__.py to be run"
    elif module.split(".")[0] in PACKAGES and not module.endswith("__main__"):
        assert spec.origin is not None
        assert 'if __name__ == "__main__":' in Path(spec.origin).read_text(encoding="utf-8")
