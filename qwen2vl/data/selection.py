"""Which samples of a store a stage of training reads: those that fit a pack, without those that are held out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.keys import key_of
from qwen2vl.data.lengths import Index, Passes, index_store
from qwen2vl.data.plan import Lengths, Plan, PlanConfig
from qwen2vl.data.samples import SampleReader
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import Processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The samples of one stage, and how they are read."""

    index: Index
    """Lengths of all samples that fit a pack, held-out ones included."""
    plan: Plan
    """Packs of every step, without the held-out samples."""
    reader: SampleReader
    held_out: tuple[int, ...]
    """Rows of the store that no step reads."""


def select_samples(
    store: Store, processor: Processor, config: PlanConfig, *, passes: Passes, held_out: float = 0.0
) -> Selection:
    """Index the sources that a plan names, hold samples out and plan the rest; no image or video is opened.

    Args:
        store: holds the samples.
        processor: of the model, with the pixel limits of the stage.
        config: mixtures, budgets and seed.
        passes: work of a training step, for the FLOPs of every sample.
        held_out: share of every source that is held out, from 0 to 1.

    Raises ConfigError for sources that the store lacks, empty sources, and a store built with another tokenizer.
    """
    sources = {name: None for phase in config.phases for weights in phase.mixtures for name in weights}
    index = index_store(store, tuple(sources), processor.config, processor.settings, config.budgets, passes)
    trained, kept = dict[str, Lengths](), list[int]()
    for name, lengths in index.sources.items():
        is_out = is_held_out(lengths.rows.tolist(), held_out)
        columns = {field.name: getattr(lengths, field.name) for field in fields(Lengths)}
        trained[name] = Lengths(**{column: values[~is_out] for column, values in columns.items()})
        kept += lengths.rows[is_out].tolist()
    return Selection(
        index=index,
        plan=Plan(trained, config),
        reader=SampleReader(store, processor, index.caps),
        held_out=tuple(kept),
    )


def is_held_out(rows: list[int], share: float) -> NDArray[np.bool_]:
    """For each row of a source whether it is held out: it depends on the row alone; one row is always trained on."""
    if not share:
        return np.zeros(len(rows), bool)
    is_out = np.array([key_of("held out", row) % 10_000 < share * 10_000 for row in rows], bool)
    if len(is_out) and is_out.all():
        is_out[0] = False
    return is_out


def shares_by_size(store: Store) -> Mapping[str, int]:
    """The mixture that reads every source as often as it has samples."""
    return shares_of({name: len(rows) for name, rows in store.sources.items()})


def shares_of(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Shares of a mixture in proportion to these numbers of samples; over 100,000 samples they are scaled down."""
    scale = min(1.0, 1e5 / max(1, sum(counts.values())))
    return {name: max(1, round(count * scale)) for name, count in counts.items() if count}
