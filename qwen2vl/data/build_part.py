"""One part of a store: up to 2,048 records, checked, with their media probed, tokenised, written to two Arrow files.

The name of a part is a digest of everything that it is built from, so a part that exists is found and not built again.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from qwen2vl.common.errors import ConfigError, MediaError, RecordError
from qwen2vl.common.files import sha256_of, unwritable, write_atomically
from qwen2vl.data.arrow import pa
from qwen2vl.data.foreign_records import to_record
from qwen2vl.data.media import LocalMedia, MediaFacts, probe
from qwen2vl.data.records import Record, parse_record
from qwen2vl.data.store_part import PartSummary, StoredSample, media_batch, text_batch
from qwen2vl.processing import chat_template as chat
from qwen2vl.processing.grounding import Size
from qwen2vl.processing.messages import TextPart
from qwen2vl.processing.sources import image_header
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.tokens import ENDOFTEXT, IGNORED

ROWS_PER_PART = 2048
BUILDER = 1
"""Number to increase when a change of the code makes other parts from the same records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """Settings of a build, the same in all of its processes."""

    store: Path
    tokenizer: Tokenizer
    media_root: Path | None
    """Folder that media paths are relative to; None = the folder of each file of records."""
    media: MediaSettings
    """Ceilings for the size of media files; pixel limits have no effect on the store."""
    source: str | None = None
    """Source of records that name none; None = the name of their file."""

    def media_root_of(self, file: Path) -> Path:
        """The folder that the media paths of a file of records are relative to."""
        return self.media_root or file.parent

    def source_of(self, file: Path) -> str:
        """The source of the records of a file that name none."""
        return self.source or file.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The records of one part, from one file."""

    file: Path
    first_line: int
    entries: list[Any]
    """Lines as bytes, or decoded entries of a JSON list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that cannot be used."""

    file: str
    line: int
    """Line in the file, from 1; number of the entry when the file is one JSON list."""
    id: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPart:
    """Result of `build_part`."""

    summary: PartSummary
    rejected: list[Rejected]
    is_new: bool
    """False when the part was in the store already."""


def read_chunks(file: Path) -> Iterator[Chunk]:
    """Read a file of JSON lines, or of one JSON list as other projects write it. Raises ConfigError."""
    with file.open("rb") as opened:
        is_list = opened.read(64).lstrip().startswith(b"[")
        opened.seek(0)
        if is_list:
            try:
                entries = iter(json.load(opened))
            except ValueError as error:
                raise ConfigError(
                    f'"{file}" starts like a JSON list but is not one ({error}): correct the file'
                ) from error
        else:
            entries = iter(opened)
        first = 1
        while lines := list(islice(entries, ROWS_PER_PART)):
            yield Chunk(file=file, first_line=first, entries=lines)
            first += len(lines)


def build_part(chunk: Chunk, settings: BuildSettings) -> BuiltPart:
    """Build the part of a chunk, or find it in the store. Raises Qwen2VLError when the disk cannot be written."""
    parts, name = settings.store / "parts", _part_name(chunk, settings)
    done = parts / f"{name}.json"
    if done.exists():
        summary = PartSummary(**json.loads(done.read_text())["part"])
        return BuiltPart(summary=summary, rejected=rejected_of(settings.store, name), is_new=False)
    samples, rejected = [], []
    for line, entry in enumerate(chunk.entries, chunk.first_line):
        if isinstance(entry, bytes) and not entry.strip():
            continue
        try:
            samples.append(_sample(entry, line, chunk.file, settings))
        except RecordError as error:
            rejected.append(
                Rejected(file=str(chunk.file), line=line, id=_id_of(entry), field=error.field, reason=error.reason)
            )
    media = [item for sample in samples for item in sample.media]
    summary = PartSummary(
        name=name,
        rows=len(samples),
        media=len(media),
        root=_portable(settings.media_root_of(chunk.file), settings.store),
        text_sha256=_write_arrow(parts / f"{name}.text.arrow", text_batch(samples)),
        media_sha256=_write_arrow(parts / f"{name}.media.arrow", media_batch(media)),
        origin=f"{chunk.file}:{chunk.first_line}-{chunk.first_line + len(chunk.entries) - 1}",
    )
    write_atomically(done, json.dumps({"part": asdict(summary), "rejected": [asdict(each) for each in rejected]}))
    return BuiltPart(summary=summary, rejected=rejected, is_new=True)


def rejected_of(store: Path, name: str) -> list[Rejected]:
    """The rejected records of a part that has been built."""
    return [Rejected(**entry) for entry in json.loads((store / "parts" / f"{name}.json").read_text())["rejected"]]


def _part_name(chunk: Chunk, settings: BuildSettings) -> str:
    """Digest of everything that decides the content of a part."""
    root = settings.media_root_of(chunk.file).resolve()
    state = hashlib.sha256(f"{BUILDER}\x1f{settings.tokenizer.digest}\x1f{root}\x1f".encode())
    state.update(f"{settings.source_of(chunk.file)}\x1f{chunk.first_line}\x1f".encode())
    for entry in chunk.entries:
        state.update(entry if isinstance(entry, bytes) else json.dumps(entry, sort_keys=True).encode())
    return state.hexdigest()[:20]


def _portable(root: Path, store: Path) -> str:
    """The media root relative to the store when both are in one folder, so that the folder can be moved; else absolute."""
    store, root = store.resolve(), root.resolve()
    return os.path.relpath(root, store) if root.is_relative_to(store.parent) else str(root)


def _write_arrow(path: Path, batch: pa.RecordBatch) -> str:
    """Write one batch as an Arrow file and return its checksum."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    return sha256_of(path)


def _id_of(entry: Any) -> str:
    """The id of an entry that may be damaged, "" when there is none."""
    try:
        raw = json.loads(entry) if isinstance(entry, bytes) else entry
        name = str(raw.get("id", "")) if isinstance(raw, dict) else ""
        return name.encode(errors="replace").decode()
    except (ValueError, RecursionError):
        return ""


def _sample(entry: Any, line: int, file: Path, settings: BuildSettings) -> StoredSample:
    """Check a record, probe its media and tokenise it. Raises RecordError."""
    try:
        raw = json.loads(entry) if isinstance(entry, bytes) else entry
        json.dumps(raw, ensure_ascii=False).encode()  # escapes of JSON can make text that Arrow and tokenizers refuse
    except UnicodeEncodeError as error:
        raise RecordError(
            "record", f"holds half a character ({error.object[error.start]!a}), which is no text"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordError("record", f"is not JSON ({error})") from error
    reader = LocalMedia(settings.media_root_of(file))

    def size_of(uri: str) -> Size:
        return image_header(reader.resolve(uri), settings.media)

    record = parse_record(to_record(raw, f"{file.stem}-{line}", settings.source_of(file), size_of))
    media: list[MediaFacts] = []
    for number, part in enumerate(record.media):
        try:
            media.append(probe(part, reader, settings.media))
        except MediaError as error:
            raise RecordError(f"media[{number}]", str(error)) from error
    return tokenise_record(record, media, settings.tokenizer)


def tokenise_record(record: Record, media: Sequence[MediaFacts], tokenizer: Tokenizer) -> StoredSample:
    """A record as token ids. Its first token is never supervised, because no token comes before it. Raises RecordError."""
    tokens = chat.tokenise(_spans(record), tokenizer, [1] * len(media), with_labels=True)
    assert tokens.labels is not None
    supervised = tokens.labels != IGNORED
    supervised[0] = False
    if not supervised.any():
        raise RecordError(
            "messages" if record.messages else "document", "no token is supervised: the replies are empty"
        )
    return StoredSample(
        id=record.id,
        source=record.source,
        kind=record.kind,
        ids=tokens.ids.astype(np.int32),
        supervised=supervised,
        media=tuple(media),
    )


def _spans(record: Record) -> tuple[chat.Span, ...]:
    if record.messages:
        return chat.render(record.messages, add_generation_prompt=False, supervised=record.supervised)
    spans: list[chat.Span] = []
    for part in record.document:
        if isinstance(part, TextPart):
            spans.append(chat.Text(part.text, ((0, len(part.text)),)))
        else:
            spans.append(chat.Slot(part))
    return (*spans, chat.Special(ENDOFTEXT, supervised=True))
