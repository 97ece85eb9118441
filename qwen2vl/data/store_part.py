"""One part of a store: its rows in two Arrow files that every process maps into memory.

NAME.text.arrow     id, source, kind, ids with one placeholder per image or video, supervised ranges of ids
NAME.media.arrow    URIs, size, orientation, number of frames, frame rate and duration of every image and video
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import sha256_of
from qwen2vl.data.arrow import pa
from qwen2vl.data.media import LocalMedia, MediaFacts, MediaReader
from qwen2vl.spec.media_settings import MediaOptions

TEXT_SCHEMA = pa.schema({
    "id": pa.string(),
    "source": pa.string(),
    "kind": pa.string(),
    "ids": pa.list_(pa.int32()),
    "supervised": pa.list_(pa.int32()),
    "num_media": pa.int32(),
})  # fmt: skip
"""`supervised`: begin, end, begin, end, ... of the supervised ranges of `ids`."""

MEDIA_SCHEMA = pa.schema({
    "uris": pa.list_(pa.string()),
    "is_video": pa.bool_(),
    "is_list": pa.bool_(),
    "width": pa.int32(),
    "height": pa.int32(),
    "orientation": pa.int8(),
    "frames": pa.int32(),
    "fps": pa.float64(),
    "duration_s": pa.float64(),
    "options": pa.string(),
})  # fmt: skip
"""`options`: options that the record gives for this image or video, as JSON; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """One record as a store holds it."""

    id: str
    source: str
    kind: str
    ids: NDArray[np.int32]
    """[t], one placeholder per image or video."""
    supervised: NDArray[np.bool_]
    """[t], True for tokens that the loss counts."""
    media: tuple[MediaFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSummary:
    """Entry of a part in `store.json`."""

    name: str
    rows: int
    """Number of rows."""
    media: int
    """Number of images and videos."""
    root: str
    """Folder of relative URIs; itself relative to the store when both are in one folder."""
    text_sha256: str
    media_sha256: str
    origin: str
    """File and lines that the part was built from."""


class StorePart:
    """One part, mapped on first use."""

    def __init__(self, store: Path, summary: PartSummary) -> None:
        self.summary = summary
        self.text_file = store / "parts" / f"{summary.name}.text.arrow"
        self.media_file = store / "parts" / f"{summary.name}.media.arrow"
        self.reader: MediaReader = LocalMedia(store / summary.root)

    def __len__(self) -> int:
        return self.summary.rows

    @cached_property
    def text(self) -> pa.RecordBatch:
        return _mapped(self.text_file, TEXT_SCHEMA)

    @cached_property
    def media(self) -> pa.RecordBatch:
        return _mapped(self.media_file, MEDIA_SCHEMA)

    @cached_property
    def first_media(self) -> Ints:
        """[rows + 1]: media of row i are rows first_media[i] to first_media[i + 1] - 1 of the media file."""
        return np.concatenate([[0], np.cumsum(self.text["num_media"].to_numpy())]).astype(np.int64)

    @cached_property
    def media_keys(self) -> list[tuple[object, ...]]:
        """For every image and video, all facts that decide its number of tokens."""
        names = ("is_video", "is_list", "width", "height", "frames", "fps", "duration_s", "options")
        return list(zip(*(self.media[name].to_pylist() for name in names), strict=True))

    def sample(self, row: int) -> StoredSample:
        """The sample in a row of this part."""
        ids = self.text["ids"][row].values.to_numpy()
        supervised = np.zeros(len(ids), bool)
        for begin, end in self.text["supervised"][row].values.to_numpy().reshape(-1, 2):
            supervised[begin:end] = True
        return StoredSample(
            id=self.text["id"][row].as_py(),
            source=self.text["source"][row].as_py(),
            kind=self.text["kind"][row].as_py(),
            ids=ids,
            supervised=supervised,
            media=tuple(self.facts(number) for number in range(self.first_media[row], self.first_media[row + 1])),
        )

    def facts(self, number: int) -> MediaFacts:
        """Facts of an image or video, by its row in the media file."""
        raw = {name: self.media[name][number].as_py() for name in MEDIA_SCHEMA.names}
        options = MediaOptions(**json.loads(raw.pop("options") or "{}"))
        return MediaFacts(uris=tuple(raw.pop("uris")), options=options, **raw)

    def damages(self) -> list[str]:
        """What is wrong with the files, one sentence each; reads both files whole."""
        found = []
        for file, expected in (
            (self.text_file, self.summary.text_sha256),
            (self.media_file, self.summary.media_sha256),
        ):
            if not file.exists():
                found.append(f"{file} is missing")
            elif sha256_of(file) != expected:
                found.append(f"{file} does not have the checksum it was written with")
        return found


def _mapped(path: Path, schema: pa.Schema) -> pa.RecordBatch:
    """The one batch of an Arrow file, in mapped memory that all processes share. Raises ConfigError."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != schema or reader.num_record_batches != 1:
            raise pa.ArrowInvalid("another schema")
        return reader.get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f'"{path}" is missing or damaged: build the store again, or restore the file (see qwen2vl data check)'
        ) from error


def text_batch(samples: Sequence[StoredSample]) -> pa.RecordBatch:
    """Samples as a batch of TEXT_SCHEMA."""
    columns: dict[str, list[Any]] = {name: [] for name in TEXT_SCHEMA.names}
    for sample in samples:
        columns["id"].append(sample.id)
        columns["source"].append(sample.source)
        columns["kind"].append(sample.kind)
        columns["ids"].append(sample.ids)
        columns["supervised"].append(np.flatnonzero(np.diff(sample.supervised, prepend=False, append=False)))
        columns["num_media"].append(len(sample.media))
    return pa.RecordBatch.from_pydict(columns, schema=TEXT_SCHEMA)


def media_batch(media: Sequence[MediaFacts]) -> pa.RecordBatch:
    """Images and videos as a batch of MEDIA_SCHEMA."""
    columns: dict[str, list[Any]] = {
        name: [getattr(item, name) for item in media] for name in MEDIA_SCHEMA.names if name != "options"
    }
    given = [{k: v for k, v in asdict(item.options).items() if v is not None} for item in media]
    columns["options"] = [json.dumps(options) if options else "" for options in given]
    return pa.RecordBatch.from_pydict(columns, schema=MEDIA_SCHEMA)
