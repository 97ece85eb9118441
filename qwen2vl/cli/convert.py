"""`qwen2vl convert`: a checkpoint rewritten in the published layout, in another precision, with an adapter folded in; or
the weights of a run as a checkpoint."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, told_as

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?B)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(CommonOptions):
    """Rewrite a checkpoint in the published layout. Tokenizer and media files are copied unchanged."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")]
    """The checkpoint directory to read, or nano; or the directory of a run, whose newest weights are then written."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where to write: a new or empty directory. It appears whole or not at all."""
    adapter: Annotated[Path | None, told_as("DIR")] = None
    """A LoRA adapter of that checkpoint, to be folded into its weights."""
    dtype: Annotated[str | None, told_as("fp32|bf16")] = None
    """Precision of the tensors; unless given, each stays as it is."""
    max_shard_size: Annotated[str, tyro.conf.arg(metavar="BYTES")] = "4GB"
    """Largest file of tensors, as 4GB or 500MB."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(ConvertOptions, argv, "qwen2vl convert")
    limit = parse_bytes(options.max_shard_size)
    from qwen2vl.model.checkpoint import convert
    from qwen2vl.model.lora import folding
    from qwen2vl.training.export import export_run, is_run

    if is_run(Path(options.source)):
        step = export_run(Path(options.source), options.out, dtype=options.dtype or "bf16", max_shard_bytes=limit)
        print(f"{options.out}: weights of step {step}")
        return 0
    edit = None if options.adapter is None else folding(options.source, options.adapter)
    with progress(f"writing {options.out}") as tell:
        convert(options.source, options.out, dtype=options.dtype, max_shard_bytes=limit, report=tell, edit=edit)
    print(options.out)
    return 0


def parse_bytes(text: str) -> int:
    """ "4GB" to 4,000,000,000. Raises UsageError."""
    found = _BYTES.fullmatch(text.strip())
    if not found or float(found[1]) == 0:
        raise UsageError(f'--max-shard-size is "{text}": it must be a size over 0 like 4GB or 500MB')
    return max(1, int(float(found[1]) * UNITS[found[2].upper()]))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function (bytes done, bytes in all) that moves a bar, or prints a line for each tenth in a pipe."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(total, 1)
        if tenth > told:
            told = tenth
            print(f"{what}: {10 * tenth} % of {total / 1e9:.2f} GB", file=sys.stderr, flush=True)

    yield tell
