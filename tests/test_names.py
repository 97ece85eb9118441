"""A name means one thing: no two modules and no two classes of the packages share one."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qwen2vl", "drawn_world")
FILES = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]


def repeated(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_two_modules_share_a_name() -> None:
    """A verb of the command line may be called like the module that does its work."""
    verbs = ROOT / "qwen2vl" / "cli"
    assert repeated([file.stem for file in FILES if file.stem != "__init__" and verbs not in file.parents]) == []


def test_no_two_classes_share_a_name() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in FILES]
    assert repeated([node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]) == []
