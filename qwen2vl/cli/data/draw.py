"""`qwen2vl data draw`: the records that nano is trained on. The same command again goes on where it stopped.

OUT/tokenizer holds the tokenizer of the model to be trained, for `data build`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import counting


@dataclass(frozen=True, kw_only=True)
class DrawOptions(CommonOptions):
    """Draw nano's training records: questions and answers about images, pages, videos and screens."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The folder of the records, which is made if it is not there."""
    recipe: Literal["nano", "wide", "whole", "sharp", "micro"] = "nano"
    """Whose records: those of nano from nothing, of nano in the wider world, of the long run over both, of the run that
    looks more closely, or of micro."""
    share: float = 1.0
    """Share of the records that a whole run reads; fewer are read more than once."""
    html_screens: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Also so many dialogues about windows that Chromium draws. nano's recipes read none, so that its exam can ask about
    windows of a renderer that training has not seen."""
    num_workers: int = 1
    """Processes that draw."""
    seed: int | None = None
    """Decides every record, the recipe's own unless given; a folder holds those of one seed."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(DrawOptions, argv, "qwen2vl data draw")
    if not 0 < options.share <= 1:
        raise UsageError(f"--share is {options.share}: it must be over 0 and at most 1")
    require_at_least("--num-workers", options.num_workers, 1)
    require_at_least("--html-screens", options.html_screens, 0)
    from drawn_world.browser import HTML_SCREEN
    from drawn_world.write_records import draw_records
    from qwen2vl.recipes import drawn_items, load_recipe
    from qwen2vl.training.run_spec import StoredRecords

    spec = load_recipe(options.recipe)()
    assert isinstance(spec.stages, tuple) and isinstance(spec.records, StoredRecords), "as in all recipes above"
    sources = drawn_items.count_records(spec.stages, spec.processor, options.share)
    if options.html_screens:
        sources |= {f"{HTML_SCREEN}@0": options.html_screens}
    seed = spec.records.seed if options.seed is None else options.seed
    with counting("drawing") as tell:
        draw_records(options.out, sources, seed=seed, num_workers=options.num_workers, on_progress=tell)
    spec.processor.save(options.out / "tokenizer")
    print(f"{options.out}: {sum(sources.values())} records of {len(sources)} sources in {options.out}/*.jsonl")
    return 0
