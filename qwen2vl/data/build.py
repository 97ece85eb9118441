"""`data build`: files of records into a store, in parallel, taken up again where it stopped.

    lines --chunks of 2,048--> parse, check, probe media, tokenise (processes) --> one part each --> store.json

A part is named by what it is built from, so building again finds finished parts and skips them, with any number of
processes. Bad records are listed and left out; too many of them end the run.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from qwen2vl.common.errors import ConfigError, MediaError, RecordError
from qwen2vl.common.files import sha256_of, unwritable, write_atomically
from qwen2vl.data.arrow import pa
from qwen2vl.data.convert import to_record
from qwen2vl.data.media import LocalMedia, MediaFacts, probe
from qwen2vl.data.records import Record, parse_record
from qwen2vl.data.store import Manifest, PartSummary, StoredSample, media_batch, text_batch
from qwen2vl.processing import chat_template as chat
from qwen2vl.processing.messages import TextPart
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.tokens import ENDOFTEXT, IGNORED

ROWS_PER_PART = 2048
BUILDER = 1
"""Counted up when the same records would give other parts."""
MIN_JUDGED = 200
"""Records before the share of bad ones is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that was left out."""

    file: str
    line: int
    """From 1; in a file that is one JSON list, the number of the entry."""
    id: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build did."""

    version: str
    rows: int
    """In the whole store."""
    new_rows: int
    skipped_parts: int
    """Parts that were there already."""
    rejected: list[Rejected]
    """In the whole store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some records of one file, still as text or decoded."""

    file: Path
    first_line: int
    entries: list[Any]
    """Lines as bytes, or decoded entries of a JSON list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every process of a build needs."""

    store: Path
    tokenizer: Tokenizer
    media_root: Path | None
    """None: relative to the file of records."""
    media: MediaSettings
    """Ceilings for headers; pixel limits have no effect on the store."""
    source: str | None = None
    """For records that name none; the file's name unless given."""


def build(
    files: Sequence[Path],
    settings: Settings,
    *,
    num_workers: int = 1,
    max_rejected: float = 0.05,
    on_progress: Callable[[int, int], None] = lambda records, rejected: None,
) -> BuildReport:
    """Add records to a store, which is made if it is not there.

    max_rejected: share of bad records from which on the run ends with an error. Raises ConfigError.
    """
    for file in files:
        if not file.is_file():
            raise ConfigError(f'there is no file "{file}": name files of records, one JSON object a line')
    try:
        (settings.store / "parts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(settings.store, error) from error
    manifest = _manifest(settings)
    known = {part.name for part in manifest.parts}
    done: list[tuple[PartSummary, list[Rejected]]] = []
    skipped = records = bad = 0
    for summary, rejected, was_there in _run(files, settings, num_workers):
        skipped += was_there
        done.append((summary, rejected))
        records += summary.rows + len(rejected)
        bad += len(rejected)
        on_progress(records, bad)
        _refuse_too_many(bad, records, max_rejected, rejected, judged=records >= MIN_JUDGED)
    _refuse_too_many(bad, records, max_rejected, [r for _, rejected in done for r in rejected], judged=True)
    fresh = list({summary.name: summary for summary, _ in done if summary.name not in known}.values())
    manifest = _appended(manifest, fresh)
    listed = [entry for part in manifest.parts for entry in _rejected_of(settings.store, part.name)]
    write_atomically(
        settings.store / "rejected.jsonl",
        "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in listed),
    )
    write_atomically(settings.store / "store.json", manifest.text())
    return BuildReport(
        version=next(reversed(manifest.versions), ""),
        rows=sum(part.rows for part in manifest.parts),
        new_rows=sum(part.rows for part in fresh),
        skipped_parts=skipped,
        rejected=listed,
    )


def _manifest(settings: Settings) -> Manifest:
    if not (settings.store / "store.json").exists():
        return Manifest(tokenizer=settings.tokenizer.digest)
    manifest = Manifest.read(settings.store)
    if manifest.tokenizer != settings.tokenizer.digest:
        raise ConfigError(
            f'the store "{settings.store}" was built with another tokenizer: give the same --tokenizer, or another --out'
        )
    return manifest


def _appended(manifest: Manifest, fresh: list[PartSummary]) -> Manifest:
    parts = manifest.parts + fresh
    if not parts:
        raise ConfigError("the files hold no record that can be used, so there is nothing to store")
    if not fresh:
        return manifest
    content = "".join(part.text_sha256 + part.media_sha256 for part in parts)
    version = hashlib.sha256(content.encode()).hexdigest()[:16]
    return replace(manifest, parts=parts, versions=manifest.versions | {version: len(parts)})


def _refuse_too_many(bad: int, records: int, limit: float, shown: Sequence[Rejected], *, judged: bool) -> None:
    if not judged or bad <= limit * records or not bad:
        return
    first = f": {shown[0].file} line {shown[0].line}, {shown[0].field}: {shown[0].reason}" if shown else ""
    raise ConfigError(
        f"{bad} of {records} records cannot be used, over the limit of {limit:.0%} (--max-rejected); one of them{first}"
    )


def _run(
    files: Sequence[Path], settings: Settings, num_workers: int
) -> Iterator[tuple[PartSummary, list[Rejected], bool]]:
    """Parts in the order of their records, whatever the number of processes."""
    chunks = (chunk for file in files for chunk in read_chunks(file))
    if num_workers <= 1:
        for chunk in chunks:
            yield build_part(chunk, settings)
        return
    with ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_take_settings, initargs=(settings,)
    ) as pool:
        waiting = [pool.submit(_build_part, chunk) for chunk in islice(chunks, 2 * num_workers)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(_build_part, chunk) for chunk in islice(chunks, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


def read_chunks(file: Path) -> Iterator[Chunk]:
    """Records of a file: JSON lines, or one JSON list as other projects write it. Raises ConfigError."""
    with file.open("rb") as opened:
        is_list = opened.read(64).lstrip().startswith(b"[")
        opened.seek(0)
        if is_list:
            try:
                entries = iter(json.load(opened))
            except ValueError as error:
                raise ConfigError(
                    f'"{file}" begins as a JSON list but is not one ({error}): correct the file'
                ) from error
        else:
            entries = iter(opened)
        first = 1
        while lines := list(islice(entries, ROWS_PER_PART)):
            yield Chunk(file=file, first_line=first, entries=lines)
            first += len(lines)


_settings: Settings


def _take_settings(settings: Settings) -> None:
    global _settings
    _settings = settings


def _build_part(chunk: Chunk) -> tuple[PartSummary, list[Rejected], bool]:
    return build_part(chunk, _settings)


def build_part(chunk: Chunk, settings: Settings) -> tuple[PartSummary, list[Rejected], bool]:
    """Build one part, or find that it is there. Raises Qwen2VLError when the disk does not take it."""
    root = settings.media_root or chunk.file.parent
    name = _name(chunk, root, settings)
    done = settings.store / "parts" / f"{name}.json"
    if done.exists():
        return PartSummary(**json.loads(done.read_text())["part"]), _rejected_of(settings.store, name), True
    samples, rejected = [], []
    for line, entry in enumerate(chunk.entries, chunk.first_line):
        if isinstance(entry, bytes) and not entry.strip():
            continue
        try:
            samples.append(_sample(entry, line, chunk, root, settings))
        except RecordError as error:
            rejected.append(
                Rejected(file=str(chunk.file), line=line, id=_id_of(entry), field=error.field, reason=error.reason)
            )
    media = [item for sample in samples for item in sample.media]
    summary = PartSummary(
        name=name,
        rows=len(samples),
        media=len(media),
        root=_portable(root, settings.store),
        text_sha256=_write_arrow(settings.store / "parts" / f"{name}.text.arrow", text_batch(samples)),
        media_sha256=_write_arrow(settings.store / "parts" / f"{name}.media.arrow", media_batch(media)),
        origin=f"{chunk.file}:{chunk.first_line}-{chunk.first_line + len(chunk.entries) - 1}",
    )
    write_atomically(done, json.dumps({"part": asdict(summary), "rejected": [asdict(entry) for entry in rejected]}))
    return summary, rejected, False


def _name(chunk: Chunk, root: Path, settings: Settings) -> str:
    state = hashlib.sha256(f"{BUILDER}\x1f{settings.tokenizer.digest}\x1f{root.resolve()}\x1f".encode())
    state.update(f"{settings.source or chunk.file.stem}\x1f{chunk.first_line}\x1f".encode())
    for entry in chunk.entries:
        state.update(entry if isinstance(entry, bytes) else json.dumps(entry, sort_keys=True).encode())
    return state.hexdigest()[:20]


def _portable(root: Path, store: Path) -> str:
    """Relative when both lie in one folder, so that the folder can be moved; absolute otherwise."""
    store, root = store.resolve(), root.resolve()
    return os.path.relpath(root, store) if root.is_relative_to(store.parent) else str(root)


def _rejected_of(store: Path, name: str) -> list[Rejected]:
    return [Rejected(**entry) for entry in json.loads((store / "parts" / f"{name}.json").read_text())["rejected"]]


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
    try:
        raw = json.loads(entry) if isinstance(entry, bytes) else entry
        name = str(raw.get("id", "")) if isinstance(raw, dict) else ""
        return name.encode(errors="replace").decode()
    except (ValueError, RecursionError):
        return ""


def _sample(entry: Any, line: int, chunk: Chunk, root: Path, settings: Settings) -> StoredSample:
    """One record, checked, probed and tokenised. Raises RecordError."""
    source = settings.source or chunk.file.stem
    try:
        raw = json.loads(entry) if isinstance(entry, bytes) else entry
        json.dumps(raw, ensure_ascii=False).encode()  # JSON may escape what neither Arrow nor the tokenizer can hold
    except UnicodeEncodeError as error:
        raise RecordError(
            "record", f"holds half a character ({error.object[error.start]!a}), which is no text"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordError("record", f"is not JSON ({error})") from error
    record = parse_record(to_record(raw, f"{chunk.file.stem}-{line}", source))
    reader = LocalMedia(root)
    media: list[MediaFacts] = []
    for number, part in enumerate(record.media):
        try:
            media.append(probe(part, reader, settings.media))
        except MediaError as error:
            raise RecordError(f"media[{number}]", str(error)) from error
    return stored(record, media, settings.tokenizer)


def stored(record: Record, media: Sequence[MediaFacts], tokenizer: Tokenizer) -> StoredSample:
    """A record in ids. The first token of a sample is never supervised: nothing stands before it."""
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
