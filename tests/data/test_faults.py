"""Five thousand records, 2 % of them bad: nothing aborts, each bad record is listed once, all others are unchanged.

Some media are damaged before the store is built, some after it; one kind of damage only shows when pixels are decoded.
"""

import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image

from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import index_store
from qwen2vl.data.loader import StepData, StepLoader
from qwen2vl.data.plan import Budgets, Cursor, Phase, Plan, PlanConfig
from qwen2vl.data.quarantine import Quarantine, read_failures
from qwen2vl.data.samples import LoadedPack, SampleReader
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import Processor
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.tokens import IGNORED
from tests.processing.test_video import write_video

from .conftest import image_file, write_lines

RECORDS = 5000
BAD_EVERY, BAD_AT = 50, 17
VIDEO_EVERY, TEXT_EVERY = 40, 9
BUDGETS = Budgets(tokens=2000, visual_tokens=2000, media=200)

Damage = Callable[[Path], object]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 10])


def behead(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(500))


def huge(path: Path) -> None:
    """A header that states 200 megapixels, with a valid checksum."""
    content = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 20_000, 10_000) + content[24:29]
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])


def thin(path: Path) -> None:
    Image.new("RGB", (2, 402)).save(path)


def turn(path: Path) -> None:
    """The same pixels with another EXIF orientation."""
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=orientated(6))


def orientated(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    return exif


def enlarge(path: Path) -> None:
    Image.new("RGB", (200, 150)).save(path)


def blank(path: Path) -> None:
    """A video with a header and empty packets."""
    content = path.read_bytes()
    begin, end = content.index(b"\xff\xd8\xff"), content.index(b"moov") - 4
    path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])


def mute(path: Path) -> None:
    """A file with sound and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


BEFORE: dict[str, tuple[str, Damage, str]] = {
    "beheaded image": ("plain.jpg", behead, "damaged or truncated"),
    "empty image": ("plain.png", empty, "is empty, 0 bytes"),
    "garbage": ("plain.png", garbage, "not in a supported image format"),
    "huge image": ("plain.png", huge, "20000x10000 pixels, over the ceiling"),
    "thin image": ("plain.png", thin, "sides in a ratio over 200"),
    "missing image": ("plain.png", Path.unlink, "there is no file"),
    "truncated video": ("plain.mp4", cut, "no video in a supported format, or damaged"),
    "empty video": ("plain.mp4", empty, "is empty, 0 bytes"),
    "video of sound": ("plain.mp4", mute, "only sound"),
    "video without frames": ("motion.mov", blank, "no frame that can be decoded"),
    "missing video": ("plain.mp4", Path.unlink, "there is no file"),
}
"""Name -> the file that is copied, the damage to the copy, and a part of the reason that must be listed."""

UNSEEN = ("plain.jpg", cut, "damaged or truncated")
"""Damage before the build that the build cannot find, because it reads headers only."""

AFTER: dict[str, tuple[str, Damage, str]] = {
    "truncated image": ("plain.jpg", cut, "damaged or truncated"),
    "empty image": ("plain.png", empty, "is empty, 0 bytes"),
    "garbage": ("plain.png", garbage, "not in a supported image format"),
    "huge image": ("plain.png", huge, "20000x10000 pixels, over the ceiling"),
    "thin image": ("plain.png", thin, "sides in a ratio over 200"),
    "missing image": ("plain.png", Path.unlink, "there is no file"),
    "turned image": ("plain.jpg", turn, "not what it was when the store was built"),
    "other image": ("plain.png", enlarge, "not what it was when the store was built"),
    "truncated video": ("plain.mp4", cut, "no video in a supported format, or damaged"),
    "truncated video without times": ("raw.h264", cut, "not what it was when the store was built"),
    "video of sound": ("plain.mp4", mute, "only sound"),
    "video without frames": ("motion.mov", blank, "no frame that can be decoded"),
    "missing video": ("plain.mp4", Path.unlink, "there is no file"),
}


def good_files(folder: Path) -> tuple[list[str], list[str]]:
    """Images and videos that can be read: ordinary ones, and every unusual kind."""
    images = [image_file(folder / f"plain.{kind}", 90, 60, 1) for kind in ("png", "jpg", "gif", "bmp", "tif", "webp")]
    images += [image_file(folder / f"{number}.png", 40 + 9 * number, 100 - 7 * number, number) for number in range(10)]
    noise = np.random.default_rng(5).integers(0, 65536, (50, 70), dtype=np.uint16)
    grey = Image.fromarray((noise >> 8).astype(np.uint8))
    colour = Image.merge("RGB", (grey, grey.rotate(180), grey))
    odd = {
        "cmyk.jpg": colour.convert("CMYK"),
        "deep.png": Image.fromarray(noise),
        "clear.png": Image.merge("RGBA", (grey, grey, grey, grey)),
        "palette.png": colour.convert("P"),
        "grey.png": Image.merge("LA", (grey, grey)),
        "bits.tif": grey.convert("1"),
        "tiny.png": Image.new("RGB", (1, 1), "red"),
    }
    for name, image in odd.items():
        image.save(folder / name, **({"transparency": 3} if name == "palette.png" else {}))
    turned = [f"turned-{orientation}.jpg" for orientation in range(1, 10)]
    for orientation, name in enumerate(turned, 1):  # 9 is no valid orientation: such an image counts as upright
        colour.save(folder / name, exif=orientated(orientation))
    videos = [
        write_video(folder / "plain.mp4", num_frames=12),
        write_video(folder / "motion.mov", codec="mjpeg", pix_fmt="yuvj420p", num_frames=12),
        write_video(folder / "raw.h264", codec="libx264", num_frames=60, options={"g": "8"}),
        write_video(folder / "phone.mkv", num_frames=12, times_ms=[90 * n * n for n in range(12)]),
    ]
    return [*images, *odd, *turned], [video.name for video in videos]


@dataclass(frozen=True)
class FaultyRecords:
    """The file of records, and for the bad ones the reason that must be listed."""

    file: Path
    rejected: dict[int, str]
    """Line -> reason, for records that the build rejects."""
    quarantined: dict[str, str]
    """Id -> reason, for records that the run cannot read."""
    unseen: frozenset[str]
    """Ids of the quarantined records that are damaged before the build."""
    damages: list[tuple[Damage, Path]]
    """Damages for after the build."""


def records_in(folder: Path) -> FaultyRecords:
    """One record in fifty is bad, in turn by damage before the build and by damage after it."""
    images, videos = good_files(folder)
    good = {False: cycle(images), True: cycle(videos)}
    before, after = cycle([*BEFORE.values(), UNSEEN]), cycle(AFTER.values())
    found = FaultyRecords(folder / "all.jsonl", {}, {}, frozenset(), [])
    unseen: set[str] = set()
    records = []
    for number in range(RECORDS):
        if number % BAD_EVERY != BAD_AT:
            is_video = number % VIDEO_EVERY == 0
            records.append(record(number, "" if number % TEXT_EVERY == 1 else next(good[is_video]), is_video))
            continue
        is_early = number // BAD_EVERY % 2 == 0
        original, damage, reason = chosen = next(before if is_early else after)
        own = folder / f"own-{number}{Path(original).suffix}"
        shutil.copy(folder / original, own)
        records.append(record(number, own.name, original in videos))
        if is_early:
            damage(own)
        else:
            found.damages.append((damage, own))
        if is_early and chosen is not UNSEEN:
            found.rejected[number + 1] = reason
        else:
            found.quarantined[f"r{number}"] = reason
            unseen |= {f"r{number}"} if is_early else set()
    write_lines(found.file, records)
    return replace(found, unseen=frozenset(unseen))


def record(number: int, media: str, is_video: bool) -> dict:
    part = {"type": "video", "video": media} if is_video else {"type": "image", "image": media}
    content = [*([part] if media else []), {"type": "text", "text": f"What is number {number}?"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": f"a red circle {number}"}]
    kind = "text" if not media else "video" if is_video else "caption"
    return {"id": f"r{number}", "source": "all", "kind": kind, "messages": messages}


@dataclass(frozen=True)
class Epoch:
    """One epoch that was read."""

    steps: list[StepData]
    quarantine: Path

    @property
    def rows(self) -> list[int]:
        return [document.row for step in self.steps for pack in step.packs for document in pack.documents]


@dataclass(frozen=True)
class Case:
    """A store, and its samples read before and after the damages."""

    records: FaultyRecords
    store: Store
    whole: Epoch
    """The epoch before the damages after the build."""
    faulty: Epoch
    """The epoch after them."""

    def rows(self, names: Iterable[str]) -> set[int]:
        return {self.store.row_of(name) for name in names}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, processor: Processor) -> Case:
    folder = tmp_path_factory.mktemp("faults")
    records = records_in(folder)
    settings = BuildSettings(store=folder / "s", tokenizer=processor.tokenizer, media_root=None, media=MediaSettings())
    build([records.file], settings)
    store = Store(folder / "s")
    whole = read_epoch(store, processor, folder / "whole", num_workers=0)
    for damage, path in records.damages:
        damage(path)
    return Case(records, store, whole, read_epoch(store, processor, folder / "faulty", num_workers=2))


def read_epoch(store: Store, processor: Processor, quarantine: Path, num_workers: int) -> Epoch:
    """Read every row once: one window as long as the store, one pack per step."""
    phases = (Phase(mixtures=({"all": 1},)),)
    config = PlanConfig(phases=phases, budgets=BUDGETS, packs_per_step=1, window=len(store))
    index = index_store(store, ["all"], NANO, processor.settings, BUDGETS)
    plan, reader = Plan(index.sources, config), SampleReader(store, processor, index.caps)
    count, cursor = 0, Cursor()
    while all(window.number == 0 for window in cursor.windows.values()):
        _, cursor = plan.step(cursor)
        count += 1
    loader = StepLoader(plan, reader, Quarantine(quarantine), num_workers=num_workers)
    return Epoch(list(loader.steps(Cursor(), count)), quarantine)


def documents_of(pack: LoadedPack) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Row and all arrays of every document of a pack."""
    inputs, tokens = pack.inputs, NANO.tokens
    is_visual = (inputs.ids == tokens.image_pad) | (inputs.ids == tokens.video_pad)
    patch = 0
    for place, document in enumerate(pack.documents):
        begin, end = inputs.segments[place : place + 2].tolist()
        patches = 4 * int(is_visual[begin:end].sum())
        arrays = {name: getattr(inputs, name)[..., begin:end].numpy() for name in ("ids", "positions", "labels")}
        yield document.row, arrays | {"patches": inputs.patches[patch : patch + patches].numpy()}
        patch += patches
    assert patch == len(inputs.patches)


def contents(read: Epoch) -> dict[int, str]:
    """Row -> digest of all of its arrays."""
    return {
        row: sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())).hexdigest()
        for step in read.steps
        for pack in step.packs
        for row, arrays in documents_of(pack)
    }


def test_media_damaged_before_the_build_are_rejected_with_line_field_and_reason(case: Case) -> None:
    lines = [json.loads(line) for line in (case.store.path / "rejected.jsonl").read_text().splitlines()]
    expected = case.records.rejected
    assert [entry["line"] for entry in lines] == sorted(expected)
    for entry in lines:
        assert (entry["id"], entry["field"]) == (f"r{entry['line'] - 1}", "media[0]")
        assert entry["file"] == str(case.records.file)
        assert expected[entry["line"]] in entry["reason"]
    assert set(expected.values()) == {reason for _, _, reason in BEFORE.values()}


def test_media_damaged_after_the_build_are_quarantined_once_with_the_reason(case: Case) -> None:
    failures, expected = read_failures(case.faulty.quarantine), case.records.quarantined
    assert sorted(failure.id for failure in failures) == sorted(expected)
    for failure in failures:
        assert expected[failure.id] in failure.reason
        assert case.store.sample(failure.row).id == failure.id
    assert set(expected.values()) == {reason for _, _, reason in AFTER.values()}
    assert {failure.id for failure in read_failures(case.whole.quarantine)} == case.records.unseen


def test_every_record_is_either_rejected_or_read_once(case: Case) -> None:
    assert len(case.records.rejected) + len(case.records.quarantined) == RECORDS // BAD_EVERY
    assert len(case.store) == RECORDS - len(case.records.rejected)
    assert sorted(case.faulty.rows) == list(range(len(case.store)))


def test_good_samples_keep_their_positions_and_are_bit_identical(case: Case) -> None:
    assert [step.digest for step in case.faulty.steps] == [step.digest for step in case.whole.steps]
    assert case.faulty.rows == case.whole.rows
    whole, faulty = contents(case.whole), contents(case.faulty)
    changed = {row for row in whole if whole[row] != faulty[row]}
    assert changed == case.rows(case.records.quarantined.keys() - case.records.unseen)


def test_only_bad_samples_have_no_supervised_token(case: Case) -> None:
    documents = [each for step in case.faulty.steps for pack in step.packs for each in documents_of(pack)]
    unsupervised = {row for row, arrays in documents if (arrays["labels"] == IGNORED).all()}
    assert unsupervised == case.rows(case.records.quarantined)
