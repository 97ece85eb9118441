"""`qwen2vl data show`: write an HTML page of records as the model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, optional, parse_options, require_at_least
from qwen2vl.common.files import write_atomically

if TYPE_CHECKING:
    from qwen2vl.data.store import Store


@dataclass(frozen=True, kw_only=True)
class ShowOptions(CommonOptions):
    """Write a page with every token of some records, its position, whether it is supervised, and the resized images."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """The folder of the store, or of a run with --step."""
    step: Annotated[int | None, optional("N")] = None
    """For a run: show the packed rows of this training step, counted from 1."""
    row: Annotated[tyro.conf.UseAppendAction[tuple[int, ...]], tyro.conf.arg(metavar="N")] = ()
    """A row to show, counted from 0."""
    id: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ID")] = ()
    """A record to show."""
    source: Annotated[str | None, optional("NAME")] = None
    """Without --row and --id: only records of this source."""
    limit: int = 10
    """Without --row and --id: number of records, spread evenly over the store."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The model whose image sizes are used: nano, or a checkpoint directory."""
    min_pixels: Annotated[int | None, optional("N")] = None
    """Enlarge images to at least this area; 784 pixels are one token."""
    max_pixels: Annotated[int | None, optional("N")] = None
    """Shrink images to at most this area."""
    max_tokens: Annotated[int | None, optional("N")] = None
    """Shrink videos to at most this number of tokens."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.html")] = Path("samples.html")
    """The page to write."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(ShowOptions, argv, "qwen2vl data show")
    require_at_least("--limit", options.limit, 1)
    if options.source is not None and (options.row or options.id):
        raise UsageError("--source chooses among records, --row and --id name them: give one or the other")
    if not options.out.parent.is_dir():
        raise UsageError(f'the folder of "{options.out}" does not exist: create it first')
    if options.step is not None:
        return show_step(options)
    # Here, because stores need pyarrow, an optional package.
    from qwen2vl.data.samples import PackRequest, SampleReader
    from qwen2vl.data.show import page, show_row, titles_of
    from qwen2vl.data.store import Store
    from qwen2vl.processing.processor import load_processor

    store = Store(options.store)
    processor = load_processor(options.model, options.min_pixels, options.max_pixels, max_tokens=options.max_tokens)
    reader = SampleReader(store, processor)
    packs = [reader.pack(PackRequest(step=0, rows=(row,))) for row in chosen_rows(store, options)]
    shown = [show_row(pack.inputs, processor.tokenizer, titles_of(store, pack)) for pack in packs]
    write_atomically(options.out, page(f"{options.store}, version {store.version}", shown))
    print(options.out)
    return 0


def show_step(options: ShowOptions) -> int:
    """Write the page for the packed rows of one step of a run."""
    # Here, because stores need pyarrow, an optional package.
    from qwen2vl.data.show import page, show_row, titles_of
    from qwen2vl.processing.processor import load_processor
    from qwen2vl.training.replay import replay

    step = replay(options.store, options.step or 0)
    tokenizer = load_processor(options.store / "model").tokenizer
    shown = [show_row(pack.inputs, tokenizer, titles_of(step.store, pack)) for pack in step.packs]
    heading = f"Step {options.step} of {options.store}, stage {step.stage}, plan {step.digest[:16]}"
    write_atomically(options.out, page(heading, shown))
    print(options.out)
    return 0


def chosen_rows(store: "Store", options: ShowOptions) -> list[int]:
    """The rows that were named, or some spread evenly. Raises UsageError, ConfigError."""
    for row in options.row:
        if not 0 <= row < len(store):
            raise UsageError(f'--row is {row}: "{options.store}" has the rows 0 to {len(store) - 1}')
    named = [*options.row, *(store.row_of(name) for name in options.id)]
    if named:
        return named
    if options.source is None:
        rows: Sequence[int] = range(len(store))
    elif options.source in store.sources:
        rows = store.sources[options.source].tolist()
    else:
        names = list(store.sources)
        valid = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise UsageError(f'--source is "{options.source}", which the store does not hold: valid are {valid}')
    count = min(options.limit, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]
