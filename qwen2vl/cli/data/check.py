"""`qwen2vl data check`: compare a store with its checksums and count its rows."""

import json as jsonlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, parse_options
from qwen2vl.cli.terminal import working


@dataclass(frozen=True, kw_only=True)
class CheckOptions(CommonOptions):
    """Read a whole store and compare it with its checksums. Exit code 0 when it is sound, 1 when it is damaged."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """The folder of the store."""
    json: bool = False
    """Print one JSON object in place of the table."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(CheckOptions, argv, "qwen2vl data check")
    from qwen2vl.data.store import Store  # needs pyarrow, an optional package

    store = Store(options.store)
    with working(f"reading {options.store}"):
        problems = store.check()
        counts: Counter[tuple[str, str]] = Counter()
        for part in [] if problems else store.parts:
            counts.update(zip(part.text["source"].to_pylist(), part.text["kind"].to_pylist(), strict=True))
    report = {
        "sound": not problems,
        "version": store.version,
        "parts": len(store.parts),
        "rows": len(store),
        "media": sum(part.summary.media for part in store.parts),
        "problems": problems,
        "sources": [{"source": name, "kind": kind, "rows": rows} for (name, kind), rows in sorted(counts.items())],
    }
    if options.json:
        print(jsonlib.dumps(report))
    else:
        print_report(options.store, report)
    return 1 if problems else 0


def print_report(store: Path, report: dict[str, Any]) -> None:
    """Print the verdict, the problems, and the rows of each source and kind."""
    size = f"rows {report['rows']}, images and videos {report['media']}, parts {report['parts']}"
    verdict = "is sound" if report["sound"] else "is damaged"
    print(f"{store} {verdict}: {size}, version {report['version']}")
    for problem in report["problems"]:
        print(f"  {problem}")
    width = max((len(entry["source"]) for entry in report["sources"]), default=0)
    for entry in report["sources"]:
        print(f"  {entry['source']:{width}}  {entry['kind']:12} {entry['rows']:>10}")
