"""Size and shape of the code: `python -m tools.code_figures [DIRECTORY...]` prints one row for each package and one for all.

A top-level name is a function, class or constant that a module defines; imports, `__all__` and names inside classes are not
counted. A line is any line of a .py file, also a blank one. The length of a function includes the functions inside it, which
are also counted by themselves, but not its decorators.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures of some files."""

    files: int
    lines: int
    names: int
    functions: tuple[int, ...]
    """Number of lines of every function and method, ascending."""
    longest_file: int

    @property
    def names_per_thousand_lines(self) -> float:
        return 1000 * self.names / max(1, self.lines)

    def function_lines(self, share: float) -> int:
        """Number of lines that this share of the functions does not exceed; 0 without functions."""
        return self.functions[min(len(self.functions) - 1, int(share * len(self.functions)))] if self.functions else 0


def measure(files: Sequence[Path]) -> Figures:
    """Read files of Python source and count."""
    sources = [file.read_text(encoding="utf-8") for file in files]
    trees = [ast.parse(source) for source in sources]
    counts = [source.count("\n") for source in sources]
    return Figures(
        files=len(files),
        lines=sum(counts),
        names=sum(len(set(top_level_names(tree))) for tree in trees),
        functions=tuple(sorted(length for tree in trees for length in function_lengths(tree))),
        longest_file=max(counts, default=0),
    )


def top_level_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                for target in node.targets:
                    yield from (
                        each.id for each in ast.walk(target) if isinstance(each, ast.Name) and each.id != "__all__"
                    )
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def function_lengths(tree: ast.Module) -> Iterator[int]:
    """Number of lines of every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def table(groups: dict[str, Sequence[Path]]) -> str:
    """A header, and a row for every group of files."""
    head = (
        f"{'':24}{'files':>7}{'lines':>8}{'names':>7}{'/1000':>7}{'median':>8}{'p90':>5}{'max':>5}{'longest file':>14}"
    )
    rows = [head]
    for name, files in groups.items():
        found = measure(files)
        rows.append(
            f"{name:24}{found.files:7}{found.lines:8}{found.names:7}{found.names_per_thousand_lines:7.1f}"
            f"{found.function_lines(0.5):8}{found.function_lines(0.9):5}{found.function_lines(1):5}{found.longest_file:14}"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", type=Path, help="directories to count (default: the two packages)")
    directories = parser.parse_args().directories or [Path("qwen2vl"), Path("drawn_world")]
    groups = {str(directory): sorted(directory.rglob("*.py")) for directory in directories}
    if len(groups) > 1:
        groups["all"] = [file for files in groups.values() for file in files]
    print(table(groups))


if __name__ == "__main__":
    main()
