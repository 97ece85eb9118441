"""`qwen2vl data bench`: speed of reading a store, and the time that training would wait for it. No model is loaded."""

import json as jsonlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, require_at_least
from qwen2vl.cli.terminal import progress

if TYPE_CHECKING:
    from qwen2vl.data.lengths import Index
    from qwen2vl.data.loader import StepData


@dataclass(frozen=True, kw_only=True)
class BenchOptions(CommonOptions):
    """Plan, read and pack a store as a training run would, with a pause in place of the model's step."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """The folder of the store."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The model whose image sizes are used: nano, or a checkpoint directory."""
    tokens: int = 8192
    """Largest number of tokens in a pack, text and visual."""
    packs: int = 4
    """Packs in a step."""
    step_ms: float = 200.0
    """Assumed time of one step of the model, in milliseconds; 0 measures the speed of reading alone."""
    steps: int = 50
    """Number of steps."""
    num_workers: int = 1
    """Number of reading processes; 0 reads between the steps."""
    json: bool = False
    """Print one JSON object in place of the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Result of a run of the pipeline. Rates do not count the time before the first batch."""

    rows: int
    lowered: int
    """Samples whose images were reduced to fit the budget."""
    refused: int
    """Samples that do not fit in a pack."""
    index_s: float
    first_batch_s: float
    """Time from the start of the reading processes to the first batch."""
    steps: int
    samples_per_s: float
    packs_per_s: float
    tokens_per_s: float
    images_per_s: float
    """Images and videos per second."""
    fill: float
    """Share of the token budget that the packs use."""
    wait_ms: float
    """Mean time that a step after the first waited for its batch."""
    wait_share: float
    """Share of the time that was spent waiting."""
    failures: int
    """Samples that could not be read."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(BenchOptions, argv, "qwen2vl data bench")
    for name, least in (("tokens", 1), ("packs", 1), ("step_ms", 0), ("steps", 2), ("num_workers", 0)):
        require_at_least("--" + name.replace("_", "-"), getattr(options, name), least)
    with progress("reading") as show:
        result = measure(options, lambda done: show(done, options.steps))
    print(jsonlib.dumps(asdict(result)) if options.json else as_text(result))
    return 0


def measure(options: BenchOptions, on_step: Callable[[int], None]) -> Measurement:
    """Run the pipeline; `on_step` gets the number of finished steps. Raises ConfigError, UsageError."""
    # Here, because stores need pyarrow, an optional package.
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
    with tempfile.TemporaryDirectory() as folder:
        reader = SampleReader(store, processor, index.caps)
        loader = StepLoader(plan, reader, Quarantine(Path(folder)), num_workers=options.num_workers)
        packs, waits, took = read_steps(loader.steps(Cursor(), options.steps), options.step_ms / 1000, on_step)
    samples, tokens, images, failures = map(sum, zip(*packs, strict=True))
    return Measurement(
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


def read_steps(
    steps: Iterator["StepData"], pause_s: float, on_step: Callable[[int], None]
) -> tuple[list[tuple[int, int, int, int]], list[float], float]:
    """Read all steps with a pause after each.

    Returns samples, tokens, media and failures of every pack, the time that each step waited for its batch, and the time
    from the first batch to the end.
    """
    packs, waits = [], []
    requested = began = time.perf_counter()
    for done, step in enumerate(steps, 1):
        waits.append(time.perf_counter() - requested)
        if done == 1:
            began = time.perf_counter()
        packs += [(len(p.documents), p.inputs.num_tokens, len(p.inputs.grids), len(p.failures)) for p in step.packs]
        on_step(done)
        time.sleep(pause_s)
        requested = time.perf_counter()
    return packs, waits, requested - began


def shares_of(index: "Index") -> dict[str, int]:
    """Shares of the sources in a mixture, about 1000 in total, in proportion to their samples.

    Raises UsageError when no sample can be used.
    """
    sizes = {name: len(lengths) for name, lengths in index.sources.items() if len(lengths)}
    if not sizes:
        reason = next(iter(index.refused.values()), "the store is empty")
        raise UsageError(f"no record of the store fits in a pack ({reason}): give a larger --tokens")
    total = sum(sizes.values())
    return {name: max(1, round(1000 * size / total)) for name, size in sizes.items()}


def as_text(result: Measurement) -> str:
    return "\n".join((
        f"{result.rows} rows, {result.lowered} at lower pixel limits, {result.refused} refused",
        f"index in {result.index_s:.2f} s, first batch after {result.first_batch_s:.2f} s",
        f"{result.samples_per_s:.1f} samples/s, {result.packs_per_s:.2f} packs/s, "
        f"{result.tokens_per_s:.0f} tokens/s, {result.images_per_s:.1f} images and videos/s",
        f"packs {result.fill:.1%} full",
        f"waited {result.wait_ms:.1f} ms a step, {result.wait_share:.1%} of the time",
        f"{result.failures} samples could not be read",
    ))  # fmt: skip
