"""The store: tokenised records and the facts of their media, in parts that never change.

    STORE/store.json       the parts in order, their checksums, the tokenizer, the versions so far
    STORE/rejected.jsonl   records that were left out: file, line, field, reason
    STORE/parts/NAME.*     one part: two Arrow files, and NAME.json, which is written last, so that a part with it is whole

The name of a part is a digest of its content. Appending records adds parts and gives the store a new version; a run keeps
the version that it started with. Pixel limits are not in the store: a run computes the number of tokens of an image from
its size.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError
from qwen2vl.data.media import MediaReader
from qwen2vl.data.store_part import PartSummary, StoredSample, StorePart

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Content of `store.json`."""

    format: int = FORMAT
    tokenizer: str
    """Digest of the tokenizer, see `Tokenizer.digest`."""
    parts: list[PartSummary] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    """Version -> number of its parts, the oldest version first."""

    @classmethod
    def read(cls, store: Path) -> "Manifest":
        """Read the manifest of a store. Raises ConfigError when there is none, or one of another format."""
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
    """A store at one of its versions, by default the newest. Opens no part yet. Raises ConfigError.

    Rows are numbered through all parts. Appended rows come last, so the number of a row never changes.
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
        self.parts = [StorePart(self.path, summary) for summary in manifest.parts[: manifest.versions[self.version]]]
        self.first_rows = [0, *accumulate(map(len, self.parts))]

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.path, self.version)  # another process maps the files itself and shares their pages

    def __len__(self) -> int:
        return self.first_rows[-1]

    def locate(self, row: int) -> tuple[StorePart, int]:
        """The part that holds a row, and the number of the row in that part."""
        assert 0 <= row < len(self), f"row {row} of {len(self)}"
        part = bisect_right(self.first_rows, row) - 1
        return self.parts[part], row - self.first_rows[part]

    def sample(self, row: int) -> StoredSample:
        """The sample in a row."""
        part, row_in_part = self.locate(row)
        return part.sample(row_in_part)

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
        """The reader that opens the media of a row."""
        return self.locate(row)[0].reader

    @cached_property
    def sources(self) -> Mapping[str, Ints]:
        """Source -> its rows, ascending."""
        found: dict[str, list[Ints]] = {}
        for first, part in zip(self.first_rows, self.parts, strict=False):
            names = part.text["source"].dictionary_encode()
            codes = names.indices.to_numpy()
            for code, name in enumerate(names.dictionary.to_pylist()):
                found.setdefault(name, []).append(first + np.flatnonzero(codes == code))
        return {name: np.concatenate(rows) for name, rows in sorted(found.items())}

    def check(self) -> list[str]:
        """What is wrong with the store, one sentence each; empty when it is sound. Reads all files."""
        problems = [damage for part in self.parts for damage in part.damages()]
        if problems:
            return problems
        for part in self.parts:
            if part.first_media[-1] != part.summary.media or len(part.media) != part.summary.media:
                problems.append(f"{part.media_file} holds another number of media than its records name")
        counts = Counter(name for part in self.parts for name in part.text["id"].to_pylist())
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            problems.append(f'{len(twice)} ids occur more than once, the first is "{twice[0]}"')
        return problems
