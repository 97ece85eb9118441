"""`qwen2vl data bench`: how fast a store is read, and how long a trainer would wait for it. No model is loaded."""

import json as jsonlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import progress

if TYPE_CHECKING:
    from qwen2vl.data.lengths import Index

PERIOD = 1000
"""The shares of the sources add up to about so much: finer ones change nothing that is measured here."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions(CommonOptions):
    """Plan, read and pack a store as a training run would, with a pause in place of the model's step."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """The folder of the store."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The model whose sizes of images hold: nano, or a checkpoint directory."""
    tokens: int = 8192
    """What a pack holds at most, text and visual."""
    packs: int = 4
    """Packs a step."""
    step_ms: float = 200.0
    """How long the model is taken to compute a step, in milliseconds; 0 measures how fast reading can be."""
    steps: int = 50
    """Steps to run."""
    num_workers: int = 1
    """Processes that read; 0 reads between the steps."""
    json: bool = False
    """Print one JSON object in place of the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found. Rates count from the first batch on."""

    rows: int
    lowered: int
    """Samples brought under the budget by lower pixel limits."""
    refused: int
    """Samples that do not fit in a pack."""
    index_s: float
    first_batch_s: float
    """From the start of the processes that read to the first batch."""
    steps: int
    samples_per_s: float
    packs_per_s: float
    tokens_per_s: float
    images_per_s: float
    """Images and videos."""
    fill: float
    """Share of the token budget that the packs use."""
    wait_ms: float
    """That the trainer waited for a step after the first, on average."""
    wait_share: float
    """Of the time."""
    failures: int
    """Samples that could not be read."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(BenchOptions, argv, "qwen2vl data bench")
    for name, least in (("tokens", 1), ("packs", 1), ("step_ms", 0), ("steps", 2), ("num_workers", 0)):
        require_at_least("--" + name.replace("_", "-"), getattr(options, name), least)
    with progress("reading") as tell:
        measured = measure(options, lambda done: tell(done, options.steps))
    print(jsonlib.dumps(asdict(measured)) if options.json else in_words(measured))
    return 0


def measure(options: BenchOptions, tell: Callable[[int], None]) -> Measured:
    """Run the pipeline. Raises ConfigError, UsageError."""
    from qwen2vl.data.lengths import index_store
    from qwen2vl.data.loader import StepLoader
    from qwen2vl.data.plan import Budgets, Cursor, Phase, Plan, PlanConfig
    from qwen2vl.data.quarantine import Quarantine
    from qwen2vl.data.samples import SampleReader
    from qwen2vl.data.store import Store
    from qwen2vl.processing.processor import load_processor

    store, processor = Store(options.store), load_processor(options.model)
    budgets = Budgets(tokens=options.tokens, visual_tokens=options.tokens, media=options.tokens)
    began = time.perf_counter()
    index = index_store(store, list(store.sources), processor.config, processor.settings, budgets)
    index_s = time.perf_counter() - began
    phase = Phase(mixtures=(shares_of(index),))
    plan = Plan(index.sources, PlanConfig(phases=(phase,), budgets=budgets, packs_per_step=options.packs))
    packs, waits = [], []
    with tempfile.TemporaryDirectory() as folder:
        reader = SampleReader(store, processor, index.caps)
        loader = StepLoader(plan, reader, Quarantine(Path(folder)), num_workers=options.num_workers)
        asked = time.perf_counter()
        for done, step in enumerate(loader.steps(Cursor(), options.steps), 1):
            waits.append(time.perf_counter() - asked)
            if done == 1:
                began = time.perf_counter()
            packs += [(len(p.documents), p.inputs.num_tokens, len(p.inputs.grids), len(p.failures)) for p in step.packs]
            tell(done)
            time.sleep(options.step_ms / 1000)
            asked = time.perf_counter()
    took = asked - began
    samples, tokens, images, failures = map(sum, zip(*packs, strict=True))
    return Measured(
        rows=len(store),
        lowered=len(index.caps),
        refused=len(index.refused),
        index_s=index_s,
        first_batch_s=waits[0],
        steps=options.steps,
        samples_per_s=samples / took,
        packs_per_s=len(packs) / took,
        tokens_per_s=tokens / took,
        images_per_s=images / took,
        fill=tokens / (len(packs) * options.tokens),
        wait_ms=1000 * sum(waits[1:]) / len(waits[1:]),
        wait_share=sum(waits[1:]) / took,
        failures=failures,
    )


def shares_of(index: "Index") -> dict[str, int]:
    """Sources in proportion to their samples. Raises UsageError when none can be used."""
    sizes = {name: len(lengths) for name, lengths in index.sources.items() if len(lengths)}
    if not sizes:
        reason = next(iter(index.refused.values()), "the store is empty")
        raise UsageError(f"no record of the store fits in a pack ({reason}): give a larger --tokens")
    total = sum(sizes.values())
    return {name: max(1, round(PERIOD * size / total)) for name, size in sizes.items()}


def in_words(measured: Measured) -> str:
    return "\n".join((
        f"{measured.rows} rows, {measured.lowered} at lower pixel limits, {measured.refused} refused",
        f"index in {measured.index_s:.2f} s, first batch after {measured.first_batch_s:.2f} s",
        f"{measured.samples_per_s:.1f} samples/s, {measured.packs_per_s:.2f} packs/s, "
        f"{measured.tokens_per_s:.0f} tokens/s, {measured.images_per_s:.1f} images and videos/s",
        f"packs {measured.fill:.1%} full",
        f"waited {measured.wait_ms:.1f} ms a step, {measured.wait_share:.1%} of the time",
        f"{measured.failures} samples could not be read",
    ))  # fmt: skip
