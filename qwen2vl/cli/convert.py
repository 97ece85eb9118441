"""`qwen2vl convert`: write a checkpoint in the published layout.

The source is a checkpoint, whose precision can be changed and into which an adapter can be merged, or a run, whose newest
weights are exported.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, optional, parse_options
from qwen2vl.cli.terminal import progress


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(CommonOptions):
    """Rewrite a checkpoint in the published layout. Tokenizer and media files are copied unchanged."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")]
    """The checkpoint directory to read, or nano; or the directory of a run, whose newest weights are exported."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The new or empty directory to write. It appears complete or not at all."""
    adapter: Annotated[Path | None, optional("DIR")] = None
    """A LoRA adapter of that checkpoint, to be merged into its weights."""
    dtype: Annotated[str | None, optional("fp32|bf16")] = None
    """Precision of the tensors; unless given, each keeps its own."""
    max_shard_size: Annotated[str, tyro.conf.arg(metavar="BYTES")] = "4GB"
    """Largest file of tensors, for example 4GB or 500MB."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(ConvertOptions, argv, "qwen2vl convert")
    limit = parse_bytes(options.max_shard_size)
    # Here, because torch takes seconds, which the help and wrong options do not need.
    from qwen2vl.model.checkpoint import convert
    from qwen2vl.model.lora import adapter_edit
    from qwen2vl.spec import is_run
    from qwen2vl.training.export import export_run

    if is_run(Path(options.source)):
        step = export_run(Path(options.source), options.out, dtype=options.dtype or "bf16", max_shard_bytes=limit)
        print(f"{options.out}: weights of step {step}")
        return 0
    edit = None if options.adapter is None else adapter_edit(options.source, options.adapter)
    with progress(f"writing {options.out}", unit="bytes") as show:
        convert(options.source, options.out, dtype=options.dtype, max_shard_bytes=limit, report=show, edit=edit)
    print(options.out)
    return 0


def parse_bytes(text: str) -> int:
    """Number of bytes in a size: "4GB" gives 4,000,000,000. Raises UsageError."""
    units = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?B)", text.strip(), re.ASCII | re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise UsageError(f'--max-shard-size is "{text}": it must be a size over 0 like 4GB or 500MB')
    return max(1, int(float(found[1]) * units[found[2].upper()]))
