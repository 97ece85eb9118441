"""The store: tokenised records and facts of their media, in Arrow files that every process maps into memory.

STORE/store.json            parts in order, their checksums, the tokenizer, the versions so far
STORE/rejected.jsonl        records that were left out: file, line, field, reason
STORE/parts/NAME.text.arrow    id, source, kind, ids with one placeholder per image or video, supervised ranges
STORE/parts/NAME.media.arrow   URI, size, orientation, frames, rate, duration of every image and video
STORE/parts/NAME.json          what the part was built from; written last, so a part that has it is whole

Parts are immutable and named by their content; appending adds parts and gives the store a new version. A run keeps to
the version it began with, whatever is appended meanwhile. Pixel limits are not in the store: how many tokens an image
makes is worked out from its size when a run begins.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
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

FORMAT = 1


TEXT_SCHEMA = pa.schema({
    "id": pa.string(),
    "source": pa.string(),
    "kind": pa.string(),
    "ids": pa.list_(pa.int32()),
    "supervised": pa.list_(pa.int32()),
    "num_media": pa.int32(),
})  # fmt: skip
"""`supervised`: begin, end, begin, end, ... of the supervised stretches of `ids`."""

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
"""`options`: what the record asked for this item alone, as JSON, "" for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """One record as the store holds it."""

    id: str
    source: str
    kind: str
    ids: NDArray[np.int32]
    """[t], one placeholder per image or video."""
    supervised: NDArray[np.bool_]
    """[t]."""
    media: tuple[MediaFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSummary:
    """What `store.json` knows of a part."""

    name: str
    rows: int
    media: int
    root: str
    """Folder that relative URIs start from; relative to the store where it lies beside or in it."""
    text_sha256: str
    media_sha256: str
    origin: str
    """File and lines it was built from."""


class Part:
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
        """[rows + 1]: media of row i stand at first_media[i]..first_media[i + 1] of the media file."""
        return np.concatenate([[0], np.cumsum(self.text["num_media"].to_numpy())]).astype(np.int64)

    @cached_property
    def sizes(self) -> list[tuple[object, ...]]:
        """Of every media item, all that decides how many tokens it makes."""
        names = ("is_video", "is_list", "width", "height", "frames", "fps", "duration_s", "options")
        return list(zip(*(self.media[name].to_pylist() for name in names), strict=True))

    def sample(self, row: int) -> StoredSample:
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
            media=tuple(self.facts(at) for at in range(self.first_media[row], self.first_media[row + 1])),
        )

    def facts(self, at: int) -> MediaFacts:
        raw = {name: self.media[name][at].as_py() for name in MEDIA_SCHEMA.names}
        options = MediaOptions(**json.loads(raw.pop("options") or "{}"))
        return MediaFacts(uris=tuple(raw.pop("uris")), options=options, **raw)


def _mapped(path: Path, schema: pa.Schema) -> pa.RecordBatch:
    """The one batch of an Arrow file, in mapped memory that all processes share."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != schema or reader.num_record_batches != 1:
            raise pa.ArrowInvalid("another schema")
        return reader.get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f'"{path}" is missing or damaged: build the store again, or restore the file (see qwen2vl data check)'
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`store.json`."""

    format: int = FORMAT
    tokenizer: str
    """Digest of the tokenizer, see `Tokenizer.digest`."""
    parts: list[PartSummary] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    """Version -> how many of the parts belong to it, oldest first."""

    @classmethod
    def read(cls, store: Path) -> "Manifest":
        """Raises ConfigError when there is no store, or one of another format."""
        file = store / "store.json"
        try:
            raw = json.loads(file.read_text())
        except FileNotFoundError:
            raise ConfigError(
                f'"{store}" is no store: build one with qwen2vl data build RECORDS --out {store}'
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigError(f'"{file}" is damaged: build the store again') from error
        if raw.get("format") != FORMAT:
            raise ConfigError(
                f'"{store}" has the format {raw.get("format")}, this program reads {FORMAT}: build it again'
            )
        return cls(**(raw | {"parts": [PartSummary(**part) for part in raw["parts"]]}))

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


class Store:
    """A store at one of its versions, the newest unless told. Raises ConfigError; opens no part yet.

    Rows are numbered through all parts; appended rows come after, so numbers keep their meaning.
    """

    def __init__(self, path: str | Path, version: str | None = None) -> None:
        self.path = Path(path)
        manifest = Manifest.read(self.path)
        self.version = next(reversed(manifest.versions), "") if version is None else version
        if self.version not in manifest.versions:
            raise ConfigError(
                f'"{path}" has no version {self.version or "yet"}: it holds {", ".join(manifest.versions) or "none"}'
            )
        self.tokenizer = manifest.tokenizer
        self.parts = [Part(self.path, summary) for summary in manifest.parts[: manifest.versions[self.version]]]
        self.first_rows = [0, *accumulate(map(len, self.parts))]

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.path, self.version)  # another process maps the files itself: the pages are shared

    def __len__(self) -> int:
        return self.first_rows[-1]

    def place(self, row: int) -> tuple[Part, int]:
        """The part that holds a row, and its number there."""
        assert 0 <= row < len(self), f"row {row} of {len(self)}"
        part = bisect_right(self.first_rows, row) - 1
        return self.parts[part], row - self.first_rows[part]

    def sample(self, row: int) -> StoredSample:
        part, local = self.place(row)
        return part.sample(local)

    def row_of(self, name: str) -> int:
        """The row of the record with this id. Raises ConfigError when there is none."""
        for first, part in zip(self.first_rows, self.parts, strict=False):
            found = part.text["id"].index(name).as_py()
            if found >= 0:
                return first + int(found)
        raise ConfigError(
            f'"{self.path}" holds no record with the id "{name}": ids are those of the files it was built from'
        )

    def reader(self, row: int) -> MediaReader:
        """What opens the media of a row."""
        return self.place(row)[0].reader

    @cached_property
    def sources(self) -> Mapping[str, Ints]:
        """Rows of every source, rising."""
        found: dict[str, list[Ints]] = {}
        for first, part in zip(self.first_rows, self.parts, strict=False):
            names = part.text["source"].dictionary_encode()
            codes = names.indices.to_numpy()
            for code, name in enumerate(names.dictionary.to_pylist()):
                found.setdefault(name, []).append(first + np.flatnonzero(codes == code))
        return {name: np.concatenate(rows) for name, rows in sorted(found.items())}

    def check(self) -> list[str]:
        """What is wrong with the files, one sentence each; reads everything. Empty means the store is sound."""
        problems = []
        for part in self.parts:
            for file, expected in (
                (part.text_file, part.summary.text_sha256),
                (part.media_file, part.summary.media_sha256),
            ):
                if not file.exists():
                    problems.append(f"{file} is missing")
                elif sha256_of(file) != expected:
                    problems.append(f"{file} does not have the checksum it was written with")
        if problems:
            return problems
        seen: dict[str, int] = {}
        for part in self.parts:
            for name in part.text["id"].to_pylist():
                seen[name] = seen.get(name, 0) + 1
            if part.first_media[-1] != part.summary.media or len(part.media) != part.summary.media:
                problems.append(f"{part.media_file} holds another number of media than its records name")
        twice = [name for name, count in seen.items() if count > 1]
        if twice:
            problems.append(f'{len(twice)} ids stand there more than once, the first is "{twice[0]}"')
        return problems


def text_batch(samples: Sequence[StoredSample]) -> pa.RecordBatch:
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
    columns: dict[str, list[Any]] = {
        name: [getattr(item, name) for item in media] for name in MEDIA_SCHEMA.names if name != "options"
    }
    asked = [{k: v for k, v in asdict(item.options).items() if v is not None} for item in media]
    columns["options"] = [json.dumps(options) if options else "" for options in asked]
    return pa.RecordBatch.from_pydict(columns, schema=MEDIA_SCHEMA)
