"""Samples of a store as rows for the model: placeholders widened to the tokens of their media, pixels read and cut.

A sample that cannot be read becomes silence of equal length (the same ids, blank pixels, nothing supervised), so that
the samples around it keep their places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.errors import ConfigError, MediaError
from qwen2vl.data.media import MediaFacts
from qwen2vl.data.quarantine import Failure
from qwen2vl.data.store import Store
from qwen2vl.data.store_part import StoredSample
from qwen2vl.processing.processor import LoadedMedia, MediaInfo, Processor
from qwen2vl.spec.costs import MediaPlan
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.tokens import IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is known of one sample in a row, for metrics."""

    source: str
    kind: str
    row: int
    """Of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """What a reader is asked for: one pack of one step."""

    step: int
    rows: tuple[int, ...]
    """Of the store."""
    skipped: frozenset[int] = frozenset()
    """Rows already known to fail at this step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPack:
    """One pack, read."""

    inputs: ModelInputs
    documents: tuple[Document, ...]
    failures: tuple[Failure, ...] = ()


class SampleReader:
    """Reads samples of a store under the limits of a run. Picklable, so worker processes can have one."""

    def __init__(self, store: Store, processor: Processor, caps: Mapping[int, int] | None = None) -> None:
        """caps: see `lengths.Index`. Raises ConfigError when store and processor have different tokenizers."""
        if store.tokenizer != processor.tokenizer.digest:
            raise ConfigError(
                f'the store "{store.path}" was built with another tokenizer than the model has: '
                "build it again with --tokenizer set to the model"
            )
        self.store, self.processor, self.caps = store, processor, dict(caps or {})

    def pack(self, request: PackRequest) -> LoadedPack:
        """All samples of a request in one row; those that fail are silent and reported."""
        inputs, documents, failures = [], [], []
        for row in request.rows:
            sample = self.store.sample(row)
            documents.append(Document(source=sample.source, kind=sample.kind, row=row))
            if row in request.skipped:
                inputs.append(self.silence(row, sample))
                continue
            try:
                inputs.append(self.read(row, sample))
            except MediaError as error:
                failures.append(
                    Failure(step=request.step, source=sample.source, row=row, id=sample.id, reason=str(error))
                )
                inputs.append(self.silence(row, sample))
        return LoadedPack(inputs=pack(inputs), documents=tuple(documents), failures=tuple(failures))

    def read(self, row: int, sample: StoredSample | None = None) -> ModelInputs:
        """One sample. Raises MediaError when an image or video cannot be read, or is not what the index says."""
        sample = sample or self.store.sample(row)
        processor, reader = self._processor(row), self.store.reader(row)
        media = []
        for facts, fitted in zip(sample.media, self._fitted(row, sample), strict=True):
            loaded = processor.load_media(facts.part(reader))
            _refuse_other_size(facts, fitted, loaded[0])
            media.append(loaded)
        return self._assembled(sample, media, sample.supervised)

    def silence(self, row: int, sample: StoredSample | None = None) -> ModelInputs:
        """A stand-in of the same length, with nothing to learn from it."""
        sample = sample or self.store.sample(row)
        media = [_blank(fitted, self.processor.config.vision.patch_dim) for fitted in self._fitted(row, sample)]
        return self._assembled(sample, media, np.zeros(len(sample.ids), bool))

    def _assembled(
        self, sample: StoredSample, media: Sequence[LoadedMedia], supervised: NDArray[np.bool_]
    ) -> ModelInputs:
        tokens = self.processor.config.tokens
        times = np.ones(len(sample.ids), np.int64)
        times[(sample.ids == tokens.image_pad) | (sample.ids == tokens.video_pad)] = [
            info.num_tokens for info, _ in media
        ]
        ids = np.repeat(sample.ids.astype(np.int64), times)
        labels = np.where(np.repeat(supervised, times), ids, IGNORED)
        return self.processor.assemble(ids, labels, media)

    def _fitted(self, row: int, sample: StoredSample) -> list[MediaPlan]:
        processor = self._processor(row)
        return [facts.fit(processor.config, processor.settings) for facts in sample.media]

    def _processor(self, row: int) -> Processor:
        if row not in self.caps:
            return self.processor
        return self.processor.with_settings(self.processor.settings.capped(self.caps[row]))


def _refuse_other_size(facts: MediaFacts, fitted: MediaPlan, info: MediaInfo) -> None:
    if info.grid != fitted.grid:
        raise MediaError(
            f"{facts.uris[0][:200]} is not what it was when the store was built: it makes {info.num_tokens} tokens "
            f"instead of {fitted.num_tokens}; build the store again"
        )


def _blank(fitted: MediaPlan, patch_dim: int) -> LoadedMedia:
    info = MediaInfo(
        kind="video" if fitted.num_frames > 1 else "image",
        original_size=(fitted.width, fitted.height),
        resized=(fitted.width, fitted.height),
        grid=fitted.grid,
        num_tokens=fitted.num_tokens,
        digest="",
    )
    return info, np.zeros((fitted.num_patches, patch_dim), np.uint8)
