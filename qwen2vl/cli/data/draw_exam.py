"""`qwen2vl data draw-exam`: draw the items of the packaged exam again into an archive.

Needs fonts and words (scripts/install-fonts.sh), Chromium, Poppler, matplotlib and the photographs of scikit-image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, parse_options
from qwen2vl.cli.terminal import progress


@dataclass(frozen=True, kw_only=True)
class DrawExamOptions(CommonOptions):
    """Draw the items of the packaged exam again, all from the test split."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.zip")]
    """The archive to write; it appears whole or not at all."""
    items: int = 300
    """Items of every task."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(DrawExamOptions, argv, "qwen2vl data draw-exam")
    from drawn_world.exam_tasks import DRAWERS, makers
    from qwen2vl.common.files import sha256_of
    from qwen2vl.evaluation.exam import write_exam

    with progress("drawing") as tell:
        sizes = write_exam(options.out, makers(), options.items, drawers=DRAWERS, on_progress=tell)
    print("\n".join(f"{task}: {size / 1e6:.2f} MB" for task, size in sizes.items()))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(options.out)}")
    return 0
