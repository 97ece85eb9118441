"""`qwen2vl data draw`: the records that nano is trained on. The same command again resumes.

OUT/tokenizer holds the tokenizer of the model to be trained, for `data build`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import progress


@dataclass(frozen=True, kw_only=True)
class DrawOptions(CommonOptions):
    """Draw nano's training records: questions and answers about images, pages, videos and screens."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder of the records, which is made if it does not exist."""
    recipe: Literal["nano", "micro"] = "nano"
    """The recipe that the records are for."""
    share: float = 1.0
    """Share of the records that a whole run reads; with a share under 1, records are read more than once."""
    html_screens: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Also draw this number of dialogues about windows, with Chromium. No recipe reads them, so that the exam can
    ask about windows of a renderer that training has not seen."""
    num_workers: int = 1
    """Processes that draw."""
    seed: int = 0
    """Decides every record. A folder holds the records of one seed."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(DrawOptions, argv, "qwen2vl data draw")
    if not 0 < options.share <= 1:
        raise UsageError(f"--share is {options.share}: it must be over 0 and at most 1")
    require_at_least("--num-workers", options.num_workers, 1)
    require_at_least("--html-screens", options.html_screens, 0)
    # Here, because the recipes need torch, which takes seconds and which the help does not need.
    from drawn_world.screens.html import HTML_SCREEN
    from drawn_world.write_records import draw_records
    from qwen2vl.recipes import drawn_items, load_recipe

    spec = load_recipe(options.recipe)()
    assert isinstance(spec.stages, tuple), "recipes over the drawn world give complete stages"
    sources = drawn_items.count_records(spec.stages, spec.processor, options.share)
    if options.html_screens:
        sources |= {f"{HTML_SCREEN}@0": options.html_screens}
    with progress("drawing") as show:
        draw_records(options.out, sources, seed=options.seed, num_workers=options.num_workers, on_progress=show)
    spec.processor.save(options.out / "tokenizer")
    print(f"{options.out}: {sum(sources.values())} records of {len(sources)} sources in {options.out}/*.jsonl")
    return 0
