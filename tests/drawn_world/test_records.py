"""Records of the drawn world: a store of them gives the items that were drawn, and drawing is repeatable."""

import json
import re
from pathlib import Path

import pytest
import torch

import drawn_world
from drawn_world import LESSONS, TASKS, WITHOUT_FONTS, draw, fonts, words
from drawn_world import write_records as records
from drawn_world.write_records import draw_records, item_key
from qwen2vl.common.errors import ConfigError, Qwen2VLError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.samples import SampleReader
from qwen2vl.data.store import Store
from qwen2vl.recipes.nano import nano_processor

SMALL = {"compare@0": 5, "film_rows@0.5": 7, "tell_apart@1": 2}


def text_installed() -> bool:
    try:
        fonts.faces("train")
        words.words("train")
    except Qwen2VLError:
        return False
    return True


DRAWABLE = [task for task in (*TASKS, *LESSONS) if task in WITHOUT_FONTS or text_installed()]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records_in(folder: Path) -> list[dict]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def uris_of(record: dict) -> list[str]:
    return re.findall(r"media/[^\"]+#bytes=\d+-\d+", json.dumps(record))


def images_in(folder: Path, source: str) -> list[bytes]:
    """The PNG files of a source, cut at the bytes that the records name."""
    cut = []
    for record in records_in(folder):
        for uri in dict.fromkeys(uris_of(record) if record["source"] == source else []):
            name, first, last = re.fullmatch(r"(.+)#bytes=(\d+)-(\d+)", uri).groups()
            cut.append((folder / name).read_bytes()[int(first) : int(last) + 1])
    return cut


def test_a_store_of_records_gives_the_items_that_the_recipe_draws(tmp_path):
    processor = nano_processor()
    draw_records(tmp_path, {f"{task}@0.25": 2 for task in DRAWABLE}, seed=3)
    settings = BuildSettings(
        store=tmp_path / "store", tokenizer=processor.tokenizer, media_root=None, media=processor.settings
    )
    assert not build(sorted(tmp_path.glob("*.jsonl")), settings).rejected
    store = Store(tmp_path / "store")
    reader = SampleReader(store, processor)
    assert len(store) == 2 * len(DRAWABLE)
    for row in range(len(store)):
        sample = store.sample(row)
        source, number = sample.id.rsplit("-", 1)
        task = source.split("@")[0]
        assert (sample.source, sample.kind) == (source, drawn_world.KINDS[task])
        item = draw(task, item_key(3, source, int(number)), "train", 0.25)
        if sample.kind == "interleaved":
            check_document(reader.read(row), item, processor)
            continue
        messages = [*item.messages, {"role": "assistant", "content": item.answer}]
        direct, stored = processor(messages, add_generation_prompt=False, with_labels=True), reader.read(row)
        for name in ("ids", "labels", "positions", "segments", "patches", "grids"):
            assert getattr(stored, name).equal(getattr(direct, name)), (sample.id, name)


def check_document(stored, item, processor):
    """All text of a document is supervised, and its images are those of the item."""
    parts = [*item.messages[0]["content"], {"type": "text", "text": item.answer}]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    supervised = stored.labels[stored.labels >= 0]
    assert processor.tokenizer.decode(supervised.tolist()).startswith(text)
    shown = [processor([{"role": "user", "content": [part]}]) for part in parts if part["type"] == "image"]
    assert stored.patches.equal(torch.cat([inputs.patches for inputs in shown]))


def test_frames_that_repeat_are_stored_once(tmp_path):
    draw_records(tmp_path, {"film_rows@0": 4})
    for record in records_in(tmp_path):
        frames = uris_of(record)
        assert frames[::2] == frames[1::2]
    assert b"".join(images_in(tmp_path, "film_rows@0")) == (tmp_path / "media" / "film_rows@0-0000.bin").read_bytes()


def test_any_number_of_processes_gives_the_same_files(tmp_path):
    draw_records(tmp_path / "one", SMALL)
    draw_records(tmp_path / "two", SMALL, num_workers=2)
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    draw_records(tmp_path / "other", SMALL, seed=1)
    assert files_in(tmp_path / "one").keys() == files_in(tmp_path / "other").keys()
    assert not set(images_in(tmp_path / "one", "compare@0")) & set(images_in(tmp_path / "other", "compare@0"))


def test_resuming_draws_what_is_missing_and_gives_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ITEMS_PER_SHARD", 3)
    draw_records(tmp_path, SMALL)
    whole = files_in(tmp_path)
    assert {"film_rows@0.5-0002.jsonl", "media/film_rows@0.5-0002.bin"} <= whole.keys()
    (tmp_path / "compare@0-0001.jsonl").unlink()
    (tmp_path / "media" / "compare@0-0001.bin").unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    progress: list[tuple[int, int]] = []
    draw_records(tmp_path, SMALL, on_progress=lambda done, total: progress.append((done, total)))
    assert progress == [(12, 14), (14, 14)]
    assert files_in(tmp_path) == whole
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_adding_records_to_a_source_changes_no_other_record(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ITEMS_PER_SHARD", 3)
    draw_records(tmp_path / "grown", {"compare@0": 4})
    first = records_in(tmp_path / "grown")
    draw_records(tmp_path / "grown", SMALL)
    draw_records(tmp_path / "once", SMALL)
    assert files_in(tmp_path / "grown") == files_in(tmp_path / "once")
    assert records_in(tmp_path / "grown")[:4] == first
    draw_records(tmp_path / "grown", {"compare@0": 1})
    assert files_in(tmp_path / "grown") == files_in(tmp_path / "once")


def test_sources_do_not_share_images(tmp_path):
    sources = ["compare@0", "compare@0.5", "count@0", "motion@0"]
    draw_records(tmp_path, dict.fromkeys(sources, 20))
    images = [image for source in sources for image in set(images_in(tmp_path, source))]
    assert len(images) == len(set(images)) > 60
    keys = [item_key(seed, source, number) for seed in (0, 1) for source in sources for number in range(50)]
    assert len(set(keys)) == len(keys) and min(keys) > 2**64


@pytest.mark.parametrize("source", ["fly@0", "count@", "count@2", "count@-1", "count@easy", "count@nan", "../count@0"])
def test_an_error_names_the_wrong_source(source, tmp_path):
    with pytest.raises(ConfigError, match=f'"{re.escape(source)}" is no source .* read_word@0.25'):
        draw_records(tmp_path / "out", {source: 1})
    assert not (tmp_path / "out").exists()


def test_wrong_counts_folders_and_missing_fonts_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="0 items"):
        draw_records(tmp_path, {"count@0": 0})
    draw_records(tmp_path, {"count@0": 1})
    with pytest.raises(ConfigError, match="choose another folder"):
        draw_records(tmp_path, {"count@0": 1}, seed=1)
    monkeypatch.setattr(fonts, "_installed", dict)
    fonts.faces.cache_clear()
    try:
        with pytest.raises(Qwen2VLError, match="apt-get install"):
            draw_records(tmp_path, {"read_word@0": 1})
    finally:
        fonts.faces.cache_clear()
