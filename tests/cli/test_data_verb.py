"""The verbs of `qwen2vl data`, and one sentence for every wrong use of them."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from drawn_world import write_records as records
from qwen2vl.cli.data import VERBS
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.show import page, show_row, titles_of
from qwen2vl.data.store import Store
from qwen2vl.processing.images import resize
from qwen2vl.processing.processor import load_processor
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.recipes import drawn_items
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.resize import image_size

from .test_cli_docs import documented_keys, keys_of
from .test_wrong_input import refused

EVIL = '<script>alert("1")</script>'
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "section",
    "div",
    "span",
    "small",
    "ul",
    "li",
    "br",
}


def image_file(path, width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return {"type": "image", "image": path.name}


def record(name, *parts, answer="a red circle", **more):
    said = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in parts]
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    return {"id": name, "source": "pairs", "kind": "vqa", "messages": messages} | more


def records_in(folder):
    first, second = image_file(folder / "a.png", 90, 60, 1), image_file(folder / "b.png", 64, 120, 2)
    frames = [image_file(folder / f"f{number}.png", 56, 56, number)["image"] for number in range(4)]
    return [
        record("one", first, "What is it?"),
        record("two", first, second, "Which is larger?", answer="The second."),
        record("video", {"type": "video", "video": frames}, "Where?", source="videos", kind="video"),
        record("text", "Say cat.\n", answer="cat ✿", source="text", kind="text"),
        record(EVIL, f"{EVIL}\u0000<b>", answer=EVIL, source='" onload="x', kind="text"),
        {
            "id": "page",
            "source": "news",
            "kind": "interleaved",
            "document": [{"type": "text", "text": "Read "}, first, {"type": "text", "text": " the end"}],
        },
    ]


def write_lines(path, records):
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
    return path


def build(run, *files, **options):
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return run("data", "build", *files, "--tokenizer", "nano", *words)


@pytest.fixture
def lines(tmp_path):
    return write_lines(tmp_path / "all.jsonl", records_in(tmp_path))


@pytest.fixture
def store(run, tmp_path, lines):
    assert build(run, lines, out=tmp_path / "store").code == 0
    return tmp_path / "store"


class ParsedPage(HTMLParser):
    """The elements, images and tokens with their classes that a browser would find in a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers, self.images, self.tokens = set(), set(), [], []
        self.inside, self.titles = "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        self.handlers |= {name for name in found if name.startswith("on")}
        self.inside = tag
        if tag == "img":
            kind, data = found["src"].split(",")
            assert kind == "data:image/png;base64"
            self.images.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
        if tag == "span" and "title" in found:
            self.tokens.append([found["class"], "", found["title"]])

    def handle_data(self, data):
        if self.inside == "span" and self.tokens:
            self.tokens[-1][1] += data
        if self.inside == "h2":
            self.titles.append(data)

    def handle_endtag(self, tag):
        self.inside = ""

    def text(self, mark):
        return "".join(text for kind, text, _ in self.tokens if mark(kind.split()))


def shown(run, store, out, *more):
    result = run("data", "show", store, "--out", out, *more)
    assert (result.code, result.out) == (0, f"{out}\n"), result.err
    return ParsedPage(out.read_text())


def test_every_verb_of_data_has_help(run):
    assert run("data").code == 2
    listed = run("data", "--help")
    assert listed.code == 0
    for name, verb in VERBS.items():
        assert f"  {name} " in listed.out
        assert verb.help in listed.out
        help_of_one = run("data", name, "--help")
        assert help_of_one.code == 0
        assert f"usage: qwen2vl data {name}" in help_of_one.out


def test_a_build_reports_its_rows_and_the_same_command_skips_them(run, tmp_path, lines):
    result = build(run, lines, out=tmp_path / "store")
    assert result.code == 0
    assert re.fullmatch(
        rf"{tmp_path}/store: 6 rows, new 6, parts skipped 0, rejected 0, version \w{{16}}\n",
        result.out,
    )
    assert result.err == "building: 6 of 6  0 rejected\n"
    again = build(run, lines, out=tmp_path / "store")
    assert "6 rows, new 0, parts skipped 1," in again.out


def test_rejected_records_are_reported(run, tmp_path):
    lines = write_lines(tmp_path / "some.jsonl", [*records_in(tmp_path), "", "{", "[1]", "3", '{"id": "x"}'])
    result = run(
        "data", "build", lines, "--out", tmp_path / "store", "--tokenizer", "nano", "--max-rejected", 0.5, "--json"
    )
    found = json.loads(result.out)
    assert (found["rows"], found["rejected"], len(found["first_rejected"])) == (6, 4, 3)
    assert found["first_rejected"][0]["line"] == 8
    assert keys_of(found) == documented_keys("data build")
    assert len((tmp_path / "store" / "rejected.jsonl").read_text().splitlines()) == 4
    words = build(run, lines, out=tmp_path / "store", max_rejected=0.5).out
    assert "rejected 4" in words
    assert f"rejected, all in {tmp_path}/store/rejected.jsonl:\n  {lines} line 8, record: is not JSON" in words


def test_broken_characters_and_very_deep_brackets_are_rejected(run, tmp_path):
    bad = [record("half \ud800", "Hello"), record("say", "half \udc00"), "[" * 100_000]
    lines = write_lines(tmp_path / "some.jsonl", [record("fine", "Hello"), *bad])
    result = build(run, lines, out=tmp_path / "store", max_rejected=0.9)
    assert result.code == 0, result.err
    assert "1 rows, new 1, parts skipped 0, rejected 3" in result.out
    assert r"line 2, record: holds half a character ('\ud800')" in result.out


def test_records_in_forms_of_other_projects_get_a_source(run, tmp_path):
    turns = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Good day"}]
    file = write_lines(tmp_path / "a.jsonl", [{"conversations": turns}])
    assert build(run, file, out=tmp_path / "one", source="given").code == 0
    assert list(Store(tmp_path / "one").sources) == ["given"]


def test_a_json_list_is_built_with_paths_relative_to_the_media_root(run, tmp_path, lines):
    (tmp_path / "apart").mkdir()
    file = tmp_path / "apart" / "list.json"
    file.write_text(json.dumps(records_in(tmp_path)))
    result = build(run, file, out=tmp_path / "other", media_root=tmp_path)
    assert "6 rows, new 6" in result.out
    assert result.err == "building: 6  0 rejected\n"


def test_check_counts_and_finds_damage(run, store):
    result = run("data", "check", store)
    assert result.code == 0
    assert f"{store} is sound: rows 6, images and videos 5, parts 1" in result.out
    assert re.search(r"pairs +vqa +2\n", result.out)
    found = json.loads(run("data", "check", store, "--json").out)
    assert found["sound"]
    assert keys_of(found) == documented_keys("data check")
    (file,) = (store / "parts").glob("*.text.arrow")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    result = run("data", "check", store)
    assert result.code == 1
    assert f"{file} does not have the checksum it was written with" in result.out
    assert json.loads(run("data", "check", store, "--json").out)["problems"]


def test_images_of_the_page_are_the_resized_pixels(run, store, tmp_path):
    processor = load_processor("nano", max_pixels=8 * 784)
    page = shown(run, store, tmp_path / "a.html", "--row", 1, "--max-pixels", 8 * 784)
    assert len(page.images) == 2
    for name, pixels in zip(("a.png", "b.png"), page.images, strict=True):
        image = Image.open(tmp_path / name)
        height, width = image_size(image.height, image.width, processor.settings)
        assert height * width <= 8 * 784
        assert (pixels == np.asarray(resize(image, height, width))).all()


def test_a_video_shows_its_frames(run, store, tmp_path):
    page = shown(run, store, tmp_path / "a.html", "--id", "video")
    info, _ = load_processor().load_media(Store(store).sample(2).media[0].part(Store(store).reader(2)))
    assert len(page.images) == info.num_frames == 4
    assert page.images[0].shape == (*info.resized[::-1], 3)
    assert not np.array_equal(page.images[0], page.images[1])


def test_supervised_tokens_are_marked_and_no_others(run, store, tmp_path):
    page = shown(run, store, tmp_path / "a.html", "--id", "text")
    assert page.text(lambda kinds: "supervised" in kinds).strip("·") == "cat ··✿<|im_end|>"
    rest = page.text(lambda kinds: "supervised" not in kinds)
    assert "Say cat.↵" in rest
    assert "assistant" in rest
    assert page.text(lambda kinds: "special" in kinds) == "<|im_start|>" + "<|im_end|><|im_start|>" * 2 + "<|im_end|>"
    assert all(re.match(r"id \d+, position t,h,w \d+,\d+,\d+, token \d+ of", hover) for *_, hover in page.tokens)


def test_text_of_records_never_becomes_html(run, store, tmp_path):
    page = shown(run, store, tmp_path / "a.html", "--id", EVIL)
    assert page.tags <= TAGS
    assert not page.handlers
    assert page.titles == [EVIL]
    assert f"{EVIL}␀<b>" in page.text(lambda kinds: "supervised" not in kinds)
    assert page.text(lambda kinds: "supervised" in kinds) == f"{EVIL}<|im_end|>"


def test_a_packed_row_shows_all_its_documents(store):
    processor, opened = load_processor(), Store(store)
    pack = SampleReader(opened, processor).pack(PackRequest(step=0, rows=(5, 2, 3, 1)))
    text = page("A row", [show_row(pack.inputs, processor.tokenizer, titles_of(opened, pack))])
    seen = ParsedPage(text)
    assert seen.titles == ["page", "video", "text", "two"]
    assert text.count('<section class="document">') == 4
    assert len(seen.images) == 1 + 4 + 2
    assert text.count("<figure") == len(pack.inputs.grids) == 4
    visual = len(pack.inputs.patches) // 4
    assert len(seen.tokens) == pack.inputs.num_tokens - visual
    places = [tuple(map(int, re.search(r"w ([\d,]+), token", hover)[1].split(","))) for *_, hover in seen.tokens]
    assert places.count((0, 0, 0)) == 4, "every document begins at 0"
    assert f"({pack.inputs.segments[3]} to {pack.inputs.num_tokens - 1} of the row)" in text
    assert "row 1 of the store" in text
    assert "b.png: 64x120 pixels" in text


def test_a_record_that_cannot_be_read_is_shown_with_the_reason(run, store, tmp_path):
    (tmp_path / "b.png").unlink()
    page = shown(run, store, tmp_path / "a.html", "--row", 1)
    assert "could not be read, so it is blank: there is no file" in (tmp_path / "a.html").read_text()
    assert not any(pixels.any() for pixels in page.images)
    assert not page.text(lambda kinds: "supervised" in kinds)


def test_records_are_chosen_by_source_and_spread_evenly(run, store, tmp_path):
    assert shown(run, store, tmp_path / "a.html", "--limit", 3).titles == ["one", "video", EVIL]
    assert shown(run, store, tmp_path / "a.html", "--source", "pairs").titles == ["one", "two"]
    assert shown(run, store, tmp_path / "a.html", "--row", 3, "--id", "one").titles == ["text", "one"]


def test_bench_measures_reading_and_waiting(run, store):
    options = ("--tokens", 200, "--packs", 2, "--steps", 3, "--step-ms", 1, "--num-workers", 0)
    result = run("data", "bench", store, *options, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert keys_of(found) == documented_keys("data bench")
    assert (found["rows"], found["steps"], found["refused"], found["failures"]) == (6, 3, 0, 0)
    assert 0.4 < found["fill"] <= 1
    assert 0 < found["wait_share"] < 1
    assert found["samples_per_s"] > found["packs_per_s"] > 0
    words = run("data", "bench", store, *options).out
    assert "samples/s" in words
    assert "% full" in words


def test_drawn_records_can_be_built(run, tmp_path, monkeypatch):
    needed = {"read_word@0.5": 4, "count@0": 4}
    monkeypatch.setattr(
        drawn_items,
        "count_records",
        lambda stages, processor, share: {name: round(count * share) for name, count in needed.items()},
    )
    result = run("data", "draw", tmp_path / "drawn", "--share", 0.5, "--seed", 3)
    assert (result.code, result.err) == (0, "drawing: 2 of 4\ndrawing: 4 of 4\n")
    assert result.out == f"{tmp_path}/drawn: 4 records of 2 sources in {tmp_path}/drawn/*.jsonl\n"
    built = build(run, *sorted((tmp_path / "drawn").glob("*.jsonl")), out=tmp_path / "store")
    assert "4 rows" in built.out
    assert Tokenizer.load(tmp_path / "drawn" / "tokenizer").digest == nano_processor().tokenizer.digest
    refused(run("data", "draw", tmp_path / "drawn", "--seed", 4, "--share", 0.5), "choose another folder")


def test_windows_by_the_browser_are_a_separate_source(run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(drawn_items, "count_records", lambda stages, processor, share: {"count@0": 2})
    monkeypatch.setattr(records, "draw_records", lambda out, sources, **more: asked.append(sources))
    (tmp_path / "drawn").mkdir()
    for more in ([], ["--html-screens", 3]):
        assert run("data", "draw", tmp_path / "drawn", *more).code == 0
    assert asked == [{"count@0": 2}, {"count@0": 2, "screen_html@0": 3}]
    refused(run("data", "draw", tmp_path / "drawn", "--html-screens", -1), "--html-screens is -1", "at least 0")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["bild"], ['"bild" is not a verb of data', "build, check, show, bench, draw"]),
        (["build", "{folder}/none.jsonl", "--out", "{new}", "--tokenizer", "nano"], ["there is no file", "none.jsonl"]),
        (["build", "{lines}", "--out", "{new}", "--tokenizer", "{folder}"], ["neither tokenizer.json nor"]),
        (["build", "{lines}", "--out", "{new}"], ["--tokenizer is missing"]),
        (["build", "--out", "{new}", "--tokenizer", "nano"], ["RECORDS"]),
        (["build", "{lines}", "--out", "{lines}", "--tokenizer", "nano"], ["all.jsonl", "cannot be written"]),
        (["build", "{lines}", "--out", "{new}", "--tokenizer", "nano", "--max-rejected", "5"], ["--max-rejected is 5"]),
        (["build", "{lines}", "--out", "{new}", "--tokenizer", "nano", "--num-workers", "0"], ["--num-workers is 0"]),
        (["build", "{lines}", "--out", "{new}", "--tokenizer", "nano", "--media-root", "{new}"], ["is no folder"]),
        (["check", "{new}"], ["is no store", "qwen2vl data build"]),
        (["show", "{new}"], ["is no store"]),
        (["bench", "{new}"], ["is no store"]),
        (["show", "{store}", "--id", "nobody"], ['no record with the id "nobody"']),
        (["show", "{store}", "--row", "6"], ["--row is 6", "rows 0 to 5"]),
        (["show", "{store}", "--source", "nowhere"], ['--source is "nowhere"', "news, pairs, text, videos"]),
        (["show", "{store}", "--source", "pairs", "--row", "1"], ["one or the other"]),
        (["show", "{store}", "--limit", "0"], ["--limit is 0: it must be at least 1"]),
        (["show", "{store}", "--out", "{new}/a.html"], ["does not exist: create it"]),
        (["show", "{store}", "--model", "{folder}"], ["config.json"]),
        (["draw", "{new}", "--share", "0"], ["--share is 0.0: it must be over 0"]),
        (["bench", "{store}", "--steps", "1"], ["--steps is 1: it must be at least 2"]),
        (["bench", "{store}", "--tokens", "8", "--steps", "2"], ["no record of the store fits", "--tokens"]),
    ],
)
def test_wrong_options_are_refused(run, store, lines, tmp_path, argv, said):
    places = {"folder": tmp_path, "new": tmp_path / "new", "lines": lines, "store": store}
    refused(run("data", *(word.format(**places) for word in argv)), *said)


def test_too_many_unusable_records_are_an_error(run, tmp_path):
    lines = write_lines(tmp_path / "some.jsonl", [*records_in(tmp_path), "{"])
    result = build(run, lines, out=tmp_path / "store")
    assert result.code == 2
    assert "1 of 7 records cannot be used, over the limit of 5%" in result.err.splitlines()[-1]
    assert f"{lines} line 7, record: is not JSON" in result.err


def test_a_store_of_another_tokenizer_is_refused(run, store, taught_directory, lines):
    refused(run("data", "show", store, "--model", taught_directory), "another tokenizer")
    refused(run("data", "build", lines, "--out", store, "--tokenizer", taught_directory), "another tokenizer")


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from qwen2vl.cli.main import main\n"
        f"sys.exit(main(['data', 'check', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        'qwen2vl data: stores of records need pyarrow, which is not installed: pip install "qwen2vl[train]"\n'
    )
