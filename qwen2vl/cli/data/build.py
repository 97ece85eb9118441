"""`qwen2vl data build`: build a store from files of records. The same command again continues where it stopped."""

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, optional, parse_options, require_at_least
from qwen2vl.cli.terminal import progress
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec import resolve_source
from qwen2vl.spec.media_settings import MediaSettings

if TYPE_CHECKING:
    from qwen2vl.data.build import BuildReport

SHOWN = 3
"""Number of rejected records that are printed; rejected.jsonl in the store lists all."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions(CommonOptions):
    """Check and tokenise records and add them to a store. Records that are in the store already are skipped."""

    records: Annotated[tyro.conf.Positional[tuple[Path, ...]], optional("RECORDS...")]
    """Files of records: one JSON object a line, or one JSON list."""
    out: Annotated[Path, tyro.conf.arg(metavar="STORE")]
    """The folder of the store, created if it does not exist."""
    tokenizer: Annotated[str, tyro.conf.arg(metavar="nano|DIR")]
    """The tokenizer of the model to be trained: nano's, or that of a checkpoint directory."""
    media_root: Annotated[Path | None, optional("DIR")] = None
    """The folder that paths of images and videos are relative to; that of each file of records unless given."""
    source: Annotated[str | None, optional("NAME")] = None
    """Source of records in the forms of other projects, which have none; the name of their file unless given."""
    num_workers: int = 1
    """Number of processes."""
    max_rejected: float = 0.05
    """Share of records that may be unusable; above it the build ends with an error."""
    json: bool = False
    """Print one JSON object in place of the summary."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(BuildOptions, argv, "qwen2vl data build")
    if not options.records:
        raise UsageError("RECORDS is missing: name one file of records or more")
    if not 0 <= options.max_rejected <= 1:
        raise UsageError(f"--max-rejected is {options.max_rejected}: it must be a share from 0 to 1")
    require_at_least("--num-workers", options.num_workers, 1)
    if options.media_root is not None and not options.media_root.is_dir():
        raise UsageError(f'--media-root is "{options.media_root}", which is no folder: check the path')
    from qwen2vl.data.build import build  # needs pyarrow, an optional package
    from qwen2vl.data.build_part import BuildSettings

    settings = BuildSettings(
        store=options.out,
        tokenizer=Tokenizer.load(resolve_source(options.tokenizer)),
        media_root=options.media_root,
        media=MediaSettings(),
        source=options.source,
    )
    total = count_lines(options.records)
    with progress("building") as show_progress:
        report = build(
            options.records,
            settings,
            num_workers=options.num_workers,
            max_rejected=options.max_rejected,
            on_progress=lambda records, bad: show_progress(records, total, f"{bad} rejected"),
        )
    print(jsonlib.dumps(as_json(report, options.out)) if options.json else as_text(report, options.out))
    return 0


def as_json(report: "BuildReport", store: Path) -> dict[str, Any]:
    """Plain data with the keys that `docs/cli.md` lists."""
    return {
        "version": report.version,
        "rows": report.rows,
        "new_rows": report.new_rows,
        "skipped_parts": report.skipped_parts,
        "rejected": len(report.rejected),
        "rejected_file": str(store / "rejected.jsonl"),
        "first_rejected": [asdict(entry) for entry in report.rejected[:SHOWN]],
    }


def as_text(report: "BuildReport", store: Path) -> str:
    bad = [f"  {entry.file} line {entry.line}, {entry.field}: {entry.reason}" for entry in report.rejected[:SHOWN]]
    return "\n".join((
        f"{store}: {report.rows} rows, new {report.new_rows}, parts skipped {report.skipped_parts}, "
        f"rejected {len(report.rejected)}, version {report.version}",
        *([f"rejected, all in {store / 'rejected.jsonl'}:"] if bad else []),
        *bad,
    ))  # fmt: skip


def count_lines(files: Sequence[Path]) -> int | None:
    """Number of lines that are not blank; None when a file is one JSON list or cannot be read, which `build` reports."""
    total = 0
    for path in files:
        try:
            with path.open("rb") as file:
                if file.read(64).lstrip().startswith(b"["):
                    return None
                file.seek(0)
                total += sum(not line.isspace() for line in file)
        except OSError:
            return None
    return total
