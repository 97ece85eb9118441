"""Samples of a store as rows for the model: placeholders repeated for the tokens of their media, pixels cut into patches.

A sample that cannot be read becomes a blank sample of the same length (the same ids, blank pixels, nothing supervised),
so that all other samples of a pack keep their positions.
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
    """Origin of one sample of a pack, for metrics."""

    source: str
    kind: str
    row: int
    """Row of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """Request for one pack of one step."""

    step: int
    rows: tuple[int, ...]
    """Rows of the store."""
    skipped: frozenset[int] = frozenset()
    """Rows that are in the quarantine at this step; they are blank and are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPack:
    """One pack with its pixels."""

    inputs: ModelInputs
    documents: tuple[Document, ...]
    failures: tuple[Failure, ...] = ()


class SampleReader:
    """Reads samples of a store under the limits of a run. It can be pickled, so that each worker process has one."""

    def __init__(self, store: Store, processor: Processor, caps: Mapping[int, int] | None = None) -> None:
        """caps: as in `lengths.Index`. Raises ConfigError when store and processor have different tokenizers."""
        if store.tokenizer != processor.tokenizer.digest:
            raise ConfigError(
                f'the store "{store.path}" was built with another tokenizer than the model has: '
                "build it again with --tokenizer set to the model"
            )
        self.store, self.processor, self.caps = store, processor, dict(caps or {})

    def pack(self, request: PackRequest) -> LoadedPack:
        """Read all samples of a request into one row. Samples that cannot be read are blank, and their failures are returned."""
        inputs, documents, failures = [], [], []
        for row in request.rows:
            sample = self.store.sample(row)
            documents.append(Document(source=sample.source, kind=sample.kind, row=row))
            if row in request.skipped:
                inputs.append(self.blank(row, sample))
                continue
            try:
                inputs.append(self.read(row, sample))
            except MediaError as error:
                failures.append(
                    Failure(step=request.step, source=sample.source, row=row, id=sample.id, reason=str(error))
                )
                inputs.append(self.blank(row, sample))
        return LoadedPack(inputs=pack(inputs), documents=tuple(documents), failures=tuple(failures))

    def read(self, row: int, sample: StoredSample | None = None) -> ModelInputs:
        """Read one sample. Raises MediaError when an image or video cannot be read or has changed since the build."""
        sample = sample or self.store.sample(row)
        processor, reader = self._processor(row), self.store.reader(row)
        media = []
        for facts, fitted in zip(sample.media, self._fitted(row, sample), strict=True):
            loaded = processor.load_media(facts.part(reader))
            _refuse_other_size(facts, fitted, loaded[0])
            media.append(loaded)
        return self._assemble(sample, media, sample.supervised)

    def blank(self, row: int, sample: StoredSample | None = None) -> ModelInputs:
        """A sample of the same length with blank pixels, in which no token is supervised."""
        sample = sample or self.store.sample(row)
        media = [_blank_media(fitted, self.processor.config.vision.patch_dim) for fitted in self._fitted(row, sample)]
        return self._assemble(sample, media, np.zeros(len(sample.ids), bool))

    def _assemble(
        self, sample: StoredSample, media: Sequence[LoadedMedia], supervised: NDArray[np.bool_]
    ) -> ModelInputs:
        tokens = self.processor.config.tokens
        repeats = np.ones(len(sample.ids), np.int64)
        repeats[(sample.ids == tokens.image_pad) | (sample.ids == tokens.video_pad)] = [
            info.num_tokens for info, _ in media
        ]
        ids = np.repeat(sample.ids.astype(np.int64), repeats)
        labels = np.where(np.repeat(supervised, repeats), ids, IGNORED)
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


def _blank_media(fitted: MediaPlan, patch_dim: int) -> LoadedMedia:
    info = MediaInfo(
        kind="video" if fitted.num_frames > 1 else "image",
        original_size=(fitted.width, fitted.height),
        resized=(fitted.width, fitted.height),
        grid=fitted.grid,
        num_tokens=fitted.num_tokens,
        digest="",
    )
    return info, np.zeros((fitted.num_patches, patch_dim), np.uint8)
