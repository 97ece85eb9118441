"""`data build`: add files of records to a store, in parallel, and resume a build that was stopped.

    records --chunks of 2,048--> build_part (in processes): check, probe media, tokenise --> one part each --> store.json

Parts that are in the store already are found and skipped. Records that cannot be used are listed and left out; too many
of them end the build.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.data.build_part import BuildSettings, BuiltPart, Chunk, Rejected, build_part, read_chunks, rejected_of
from qwen2vl.data.store import Manifest
from qwen2vl.data.store_part import PartSummary

REJECTED = "rejected.jsonl"
"""File in a store that lists the records that were left out."""
MIN_JUDGED = 200
"""Number of records up to which the share of rejected ones is not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """Result of a build."""

    version: str
    """Version of the store after the build."""
    rows: int
    """Number of rows of the whole store."""
    new_rows: int
    """Number of rows that this build added."""
    skipped_parts: int
    """Number of parts that existed before."""
    rejected: list[Rejected]
    """Rejected records of the whole store."""


def build(
    files: Sequence[Path],
    settings: BuildSettings,
    *,
    num_workers: int = 1,
    max_rejected: float = 0.05,
    on_progress: Callable[[int, int], None] = lambda records, rejected: None,
) -> BuildReport:
    """Add records to a store; create the store if it does not exist.

    max_rejected: share of rejected records above which the build ends with an error.
    on_progress: receives the number of records and of rejected records so far. Raises ConfigError.
    """
    for file in files:
        if not file.is_file():
            raise ConfigError(f'there is no file "{file}": name files of records, one JSON object a line')
    try:
        (settings.store / "parts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(settings.store, error) from error
    manifest = _manifest(settings)
    parts: list[BuiltPart] = []
    records = bad = 0
    for part in _build_parts(files, settings, num_workers):
        parts.append(part)
        records += part.summary.rows + len(part.rejected)
        bad += len(part.rejected)
        on_progress(records, bad)
        if records >= MIN_JUDGED:
            _refuse_too_many(parts, records, max_rejected, settings.store, manifest)
    _refuse_too_many(parts, records, max_rejected, settings.store, manifest)
    old = {part.name for part in manifest.parts}
    new = list({part.summary.name: part.summary for part in parts if part.summary.name not in old}.values())
    manifest = _extended(manifest, new)
    rejected = [each for part in manifest.parts for each in rejected_of(settings.store, part.name)]
    _list_rejected(rejected, settings.store)
    write_atomically(settings.store / "store.json", manifest.text())
    return BuildReport(
        version=next(reversed(manifest.versions), ""),
        rows=sum(part.rows for part in manifest.parts),
        new_rows=sum(part.rows for part in new),
        skipped_parts=sum(not part.is_new for part in parts),
        rejected=rejected,
    )


def _manifest(settings: BuildSettings) -> Manifest:
    """The manifest of the store, empty when there is no store yet. Raises ConfigError for another tokenizer."""
    if not (settings.store / "store.json").exists():
        return Manifest(tokenizer=settings.tokenizer.digest)
    manifest = Manifest.read(settings.store)
    if manifest.tokenizer != settings.tokenizer.digest:
        raise ConfigError(
            f'the store "{settings.store}" was built with another tokenizer: give the same --tokenizer, or another --out'
        )
    return manifest


def _extended(manifest: Manifest, new: list[PartSummary]) -> Manifest:
    """The manifest with new parts and, if there are any, a new version. Raises ConfigError when it has no part at all."""
    parts = manifest.parts + new
    if not parts:
        raise ConfigError("the files hold no record that can be used, so there is nothing to store")
    if not new:
        return manifest
    content = "".join(part.text_sha256 + part.media_sha256 for part in parts)
    version = hashlib.sha256(content.encode()).hexdigest()[:16]
    return replace(manifest, parts=parts, versions=manifest.versions | {version: len(parts)})


def rejected_in_words(rejected: Sequence[Rejected], records: int, store: Path, limit: float | None = None) -> str:
    """How many records are left out, one of them as an example, and where all are listed. limit: one that they are over."""
    first, over = rejected[0], "" if limit is None else f", over the limit of {limit:.0%} (--max-rejected)"
    return (
        f"{len(rejected)} of {records} records cannot be used{over}; all are listed in {store / REJECTED}; one of them: "
        f"{first.file} line {first.line}, {first.field}: {first.reason}"
    )


def _list_rejected(rejected: Sequence[Rejected], store: Path) -> None:
    lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in rejected]
    write_atomically(store / REJECTED, "".join(lines))


def _refuse_too_many(parts: Sequence[BuiltPart], records: int, limit: float, store: Path, manifest: Manifest) -> None:
    """List the rejected records, after those of the store, and raise ConfigError when their share is over the limit."""
    rejected = [each for part in parts for each in part.rejected]
    if len(rejected) > limit * records:
        old = [part.name for part in manifest.parts]
        new = [each for part in parts if part.summary.name not in old for each in part.rejected]
        _list_rejected([*(each for name in old for each in rejected_of(store, name)), *new], store)
        raise ConfigError(rejected_in_words(rejected, records, store, limit))


def _build_parts(files: Sequence[Path], settings: BuildSettings, num_workers: int) -> Iterator[BuiltPart]:
    """Parts in the order of their records, whatever the number of processes."""
    chunks = (chunk for file in files for chunk in read_chunks(file))
    if num_workers <= 1:
        for chunk in chunks:
            yield build_part(chunk, settings)
        return
    with ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_set_settings, initargs=(settings,)
    ) as pool:
        waiting = [pool.submit(_build_in_process, chunk) for chunk in islice(chunks, 2 * num_workers)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(_build_in_process, chunk) for chunk in islice(chunks, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


_settings: BuildSettings
"""Settings of a process of the pool: sent once, since a tokenizer is larger than many chunks."""


def _set_settings(settings: BuildSettings) -> None:
    global _settings
    _settings = settings


def _build_in_process(chunk: Chunk) -> BuiltPart:
    return build_part(chunk, _settings)
