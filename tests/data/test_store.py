"""Building a store: samples equal their records, bad records are listed, finished parts are not built again."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from qwen2vl.common.errors import ConfigError
from qwen2vl.data import build_part
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.samples import SampleReader
from qwen2vl.data.store import Store
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.media_settings import MediaSettings

from .conftest import image_file, records_in, write_lines


@pytest.fixture
def settings(tmp_path, processor) -> BuildSettings:
    return BuildSettings(
        store=tmp_path / "store", tokenizer=processor.tokenizer, media_root=None, media=MediaSettings()
    )


def test_a_stored_conversation_equals_the_output_of_the_processor(built, processor, tmp_path):
    """Ids, positions, labels, patches and grids, for every form of conversation."""
    reader = SampleReader(built, processor)
    for row, raw in enumerate(records_in(tmp_path)):
        if "messages" not in raw or any("loss" in message for message in raw["messages"]):
            continue
        stored = reader.read(row)
        messages = json.loads(json.dumps(raw["messages"]), object_hook=lambda part: _absolute(part, tmp_path))
        direct = processor(messages, add_generation_prompt=False, with_labels=True)
        for name in ("ids", "positions", "segments", "patches", "grids", "labels"):
            assert getattr(stored, name).equal(getattr(direct, name)), (raw["id"], name)


def _absolute(part, folder):
    for kind in ("image", "video"):
        if isinstance(part.get(kind), str):
            part[kind] = str(folder / part[kind])
        elif kind in part:
            part[kind] = [str(folder / name) for name in part[kind]]
    return part


def test_the_loss_mask_of_a_message_reaches_the_labels(built, processor):
    sample = built.sample(5)
    assert sample.id == "trace-0"
    assert processor.tokenizer.decode(sample.ids[sample.supervised]) == "blue"


def test_all_text_of_a_document_but_its_first_token_is_supervised(built, processor):
    sample = built.sample(4)
    assert not sample.supervised[0]
    assert processor.tokenizer.decode(sample.ids[sample.supervised]).endswith(" the end")
    assert sample.supervised[-1]  # its end token
    assert sample.ids[-1] == processor.config.tokens.bos


def test_sources_list_their_rows(built):
    assert len(built) == 60
    assert built.sources["videos"].tolist() == list(range(2, 60, 6))


def test_any_number_of_processes_builds_the_same_store_and_skips_existing_parts(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(build_part, "ROWS_PER_PART", 4)
    file = write_lines(tmp_path / "all.jsonl", records_in(tmp_path))
    seen = []
    one = build([file], settings, on_progress=lambda records, bad: seen.append((records, bad)))
    assert (one.rows, one.new_rows, one.skipped_parts) == (6, 6, 0)
    assert seen == [(4, 0), (6, 0)]
    again = build([file], settings, num_workers=2)
    assert (again.rows, again.new_rows, again.skipped_parts, again.version) == (6, 0, 2, one.version)


def test_a_build_that_was_killed_is_resumed(tmp_path, settings, monkeypatch):
    """An incomplete part and a part without its summary are built again; the finished part is not."""
    monkeypatch.setattr(build_part, "ROWS_PER_PART", 2)
    file = write_lines(tmp_path / "all.jsonl", records_in(tmp_path))
    whole = build([file], settings)
    names = [part.summary.name for part in Store(settings.store).parts]
    (settings.store / "store.json").unlink()
    (settings.store / "parts" / f"{names[1]}.json").unlink()
    (settings.store / "parts" / f"{names[2]}.json").unlink()
    (settings.store / "parts" / f"{names[2]}.text.arrow").write_bytes(b"half")
    resumed = build([file], settings)
    assert (resumed.version, resumed.skipped_parts) == (whole.version, 1)
    assert Store(settings.store).check() == []


def test_appending_adds_a_version_and_keeps_the_old_one(tmp_path, settings):
    records = records_in(tmp_path)
    first = build([write_lines(tmp_path / "one.jsonl", records[:2])], settings)
    second = build([write_lines(tmp_path / "two.jsonl", records[2:])], settings)
    assert len(Store(settings.store)) == 6
    assert len(Store(settings.store, first.version)) == 2
    assert second.version != first.version
    with pytest.raises(ConfigError, match="has no version nowhere"):
        Store(settings.store, "nowhere")


def test_bad_records_are_listed_with_line_field_and_reason(tmp_path, settings):
    records = records_in(tmp_path)
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    lines = [
        *records * 4,
        "{not json",
        records[0] | {"kind": "poem"},
        records[0] | {"messages": [{"role": "user", "content": [{"type": "image", "image": "gone.png"}]}]},
        json.dumps(records[0]).replace("a.png", "gone.png"),
        json.dumps(records[0]).replace("a.png", "cut.png"),
        json.dumps(records[0]).replace("a.png", "https://example.org/a.png"),
        "",
    ]
    file = write_lines(tmp_path / "all.jsonl", lines)
    report = build([file], settings, max_rejected=0.5)
    assert report.rows == 24
    assert [(entry.line, entry.field) for entry in report.rejected] == [
        (25, "record"), (26, "kind"), (27, "messages"), (28, "media[0]"), (29, "media[0]"), (30, "media[0]"),
    ]  # fmt: skip
    assert "gone.png" in report.rejected[3].reason
    listed = [json.loads(line) for line in (settings.store / "rejected.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in listed] == [entry.line for entry in report.rejected]
    with pytest.raises(ConfigError, match="6 of 30 records cannot be used, over the limit of 5%"):
        build([file], settings)


@pytest.mark.parametrize(
    ("media", "field", "reason"),
    [
        ({"image": "a.png#bytes=0-99999999999999999999"}, "media[0]", "bytes, not 0 to 99999999999999999999"),
        ({"image": "a.png#bytes=50-10"}, "media[0]", "bytes, not 50 to 10"),
        ({"image": "a\0.png#bytes=0-10"}, "media[0]", "there is no file"),
        ({"image": "a.png", "min_pixels": 100_000, "max_pixels": 1000}, "media[0]", "the smaller must not be over the"),
        ({"image": "a.png", "max_pixels": 0}, "media[0]", "both must be positive"),
        ({"image": "a.png", "min_pixels": 10**400}, "messages", "min_pixels is over 9007199254740992"),
        ({"video": ["a.png"] * 2, "fps": 10**400}, "messages", "fps is over 9007199254740992"),
    ],
)
def test_impossible_media_options_of_a_record_do_not_end_a_build(tmp_path, settings, media, field, reason):
    records = records_in(tmp_path)
    content = [media | {"type": next(iter(media))}]
    bad = records[0] | {"messages": [{"role": "user", "content": content}, *records[0]["messages"][1:]]}
    (entry,) = build([write_lines(tmp_path / "all.jsonl", [*records, bad])], settings, max_rejected=0.5).rejected
    assert (entry.line, entry.field) == (7, field)
    assert reason in entry.reason


def test_one_json_list_in_the_form_of_llava_is_built(tmp_path, settings, processor):
    image_file(tmp_path / "a.png", 64, 64)
    entry = {
        "id": 7,
        "image": "a.png",
        "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "a cat"}],
    }
    (tmp_path / "llava.json").write_text(json.dumps([entry, entry | {"id": 8}], indent=1))
    report = build([tmp_path / "llava.json"], settings)
    assert report.rows == 2
    sample = Store(settings.store).sample(0)
    assert (sample.id, sample.source, sample.kind, len(sample.media)) == ("7", "llava", "vqa", 1)


def test_facts_give_the_upright_size(tmp_path, settings):
    turned = Image.new("RGB", (80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.png")
    turned.save(tmp_path / "turned.jpg", exif=exif)
    record = json.dumps(records_in(tmp_path)[0]).replace("a.png", "turned.jpg")
    build([write_lines(tmp_path / "all.jsonl", [record])], settings)
    facts = Store(settings.store).sample(0).media[0]
    assert (facts.width, facts.height, facts.orientation) == (40, 80, 6)


def test_a_byte_range_of_a_file_is_read_as_an_image(tmp_path, settings, processor):
    image_file(tmp_path / "a.png", 90, 60, 1)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "pack.bin").write_bytes(b"x" * 10 + content + b"y" * 10)
    whole, part = (
        json.dumps(records_in(tmp_path)[0]).replace("a.png", name)
        for name in ("a.png", f"pack.bin#bytes=10-{9 + len(content)}")
    )
    build([write_lines(tmp_path / "all.jsonl", [whole, part])], settings)
    reader = SampleReader(Store(settings.store), processor)
    assert reader.read(0).patches.equal(reader.read(1).patches)


def test_check_finds_damaged_files(tmp_path, settings, built):
    copy = tmp_path / "copy"
    shutil.copytree(built.path, copy)
    assert Store(copy).check() == []
    file = next((copy / "parts").glob("*.text.arrow"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "checksum" in Store(copy).check()[0]
    file.write_bytes(content[:100])
    with pytest.raises(ConfigError, match="damaged"):
        Store(copy).sample(0)


def test_a_store_can_be_moved_with_its_images(tmp_path, built, processor):
    shutil.copytree(built.path.parent, tmp_path / "elsewhere")
    moved = SampleReader(Store(tmp_path / "elsewhere" / "store"), processor)
    assert moved.read(0).patches.equal(SampleReader(built, processor).read(0).patches)
    assert str(tmp_path) in str(moved.store.parts[0].reader.root)


def test_ids_that_occur_twice_are_reported(tmp_path, settings):
    records = records_in(tmp_path)
    build([write_lines(tmp_path / "all.jsonl", [*records, records[0]])], settings)
    assert Store(settings.store).check() == ['1 ids occur more than once, the first is "one"']


def test_another_tokenizer_is_refused(tmp_path, settings, processor):
    build([write_lines(tmp_path / "all.jsonl", records_in(tmp_path))], settings)
    other = BuildSettings(
        store=settings.store, tokenizer=build_nano_tokenizer(["other"] * 5), media_root=None, media=MediaSettings()
    )
    with pytest.raises(ConfigError, match="another tokenizer"):
        build([tmp_path / "all.jsonl"], other)


def test_a_folder_without_a_store_is_refused_with_the_command_that_builds_one(tmp_path):
    with pytest.raises(ConfigError, match="is no store: build one with qwen2vl data build"):
        Store(tmp_path)


def test_ids_are_mapped_not_copied(built):
    """Reading a sample twice gives the same memory: no process holds a copy of the text."""
    first, again = (built.sample(0).ids for _ in range(2))
    assert np.shares_memory(first, again)
