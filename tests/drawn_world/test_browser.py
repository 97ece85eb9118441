"""Windows drawn by Chromium: boxes enclose their pixels, and pixels do not depend on other windows of the sheet."""

import hashlib
import json
import re
import shutil
from functools import lru_cache
from pathlib import Path
from random import Random

import pytest

from drawn_world import SPLITS, Item, browser, fonts, words
from drawn_world import write_records as records
from drawn_world.screens import html
from drawn_world.transfer import browser_pages as pages
from qwen2vl.common.errors import Qwen2VLError

from .checks import (
    changed,
    check_repeatable,
    encloses,
    every_face,
    every_split,
    hidden,
    image_of,
    is_at,
    needs,
    turns_of,
    word_list,
)

needs_browser = needs(browser.find_browser, every_face, word_list)


@lru_cache(maxsize=1)
def _screens() -> list[Item]:
    return html.draw_html_screens(Random(3), "train", 20)


@needs_browser
def test_boxes_enclose_their_pixels() -> None:
    windows = [html.make_window(Random(f"{split}{seed}"), split) for split in SPLITS for seed in range(16)]
    keys = [(number, str(key)) for number, window in enumerate(windows) for key in range(len(window.widgets))]
    without = [hidden(windows[number].tile, key) for number, key in keys]
    shots = browser.shoot([*(window.tile for window in windows), *without], html.WINDOW_CSS)
    for (number, key), shot in zip(keys, shots[len(windows) :], strict=True):
        whole = shots[number]
        assert whole.image.size == windows[number].tile.size
        assert set(whole.boxes) == {str(each) for each in range(len(windows[number].widgets))}  # nothing is cut off
        assert encloses(whole.boxes[key], changed(whole.image, shot.image), 10), (windows[number], key)


@needs_browser
def test_pixels_do_not_depend_on_other_windows() -> None:
    for one, again in zip(html.draw_html_screens(Random(3), "train", 4), _screens(), strict=False):
        assert one.truth == again.truth and one.answer == again.answer
        assert image_of(one).tobytes() == image_of(again).tobytes()


@needs_browser
def test_records_of_windows_do_not_change_when_more_are_drawn(tmp_path) -> None:
    records.draw_records(tmp_path / "few", {"screen_html@0": 3}, seed=5)
    records.draw_records(tmp_path / "more", {"screen_html@0": 5}, seed=5)
    few, more = ((tmp_path / name / "screen_html@0-0000.jsonl").read_text().splitlines() for name in ("few", "more"))
    assert len(few) == 3 and more[:3] == few and len(set(more)) == 5
    record = json.loads(few[0])
    assert (record["source"], record["kind"]) == ("screen_html@0", "grounding")
    assert len(record["messages"]) >= 4
    records.draw_records(tmp_path / "few", {"screen_html@0": 5}, seed=5)
    assert (tmp_path / "few" / "screen_html@0-0000.jsonl").read_text().splitlines() == more


def test_drawing_records_without_a_browser_names_the_install_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Qwen2VLError, match="apt-get install"):
        records.draw_records(tmp_path, {"screen_html@0": 1})


@needs_browser
def test_dialogues_agree_with_the_window() -> None:
    for item in _screens():
        scene = item.truth["scene"]
        assert item.task == "screen_html" and max(scene["size"]) <= 224
        turns = turns_of(item)
        assert 2 <= len(turns) <= 6
        for question, answer in turns:
            named = [each for each in scene["controls"] if re.search(rf"\b{each['label']}\b", question)]
            if not named:
                assert answer == scene["title"]
            elif found := re.search(r"\((\d+),(\d+)\)", answer):
                assert any(is_at(found.groups(), each["box_px"], scene["size"]) for each in named)
            else:
                assert answer in [each["state"] for each in named]


@needs_browser
def test_every_font_loads_and_an_element_cut_off_by_the_edge_has_no_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = browser.Tile(
        html='<p data-key="in" style="width: 40px">in</p><p data-key="out" style="width: 140px">out</p>',
        size=(100, 60),
        classes="plain",
        faces=tuple(face for split in SPLITS for face in fonts.faces(split)),
    )
    (shot,) = browser.shoot([tile])
    assert shot.boxes["in"][0::2] == (0, 40) and "out" not in shot.boxes
    (tmp_path / "no.ttf").write_bytes(b"no font")
    monkeypatch.setattr(browser, "font_file", lambda name: tmp_path / "no.ttf")
    with pytest.raises(Qwen2VLError, match="font"):
        browser.shoot([tile])


def test_a_missing_browser_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Qwen2VLError, match="apt-get install .*chromium"):
        browser.find_browser()


def test_a_browser_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find_browser", lambda: "false")
    with pytest.raises(Qwen2VLError, match="exit status 1"):
        browser.shoot([browser.Tile(html="", size=(40, 40), classes="plain")])


def test_styles_belong_to_one_split() -> None:
    for table in (html.STYLES, html.LAYOUTS, html.PALETTES):
        for one in SPLITS:
            for other in set(SPLITS) - {one}:
                assert not set(table[one]) & set(table[other])
    names = {name for split in SPLITS for name in html.STYLES[split]}
    rules = {rule for split in SPLITS for rule in html.STYLES[split].values()}
    assert not names & {*pages.SCREEN_STYLES, *pages.PAGE_STYLES, *pages.LINE_STYLES}
    assert not rules & set(pages.SCREEN_STYLES.values())


@needs_browser
@every_split
def test_fonts_and_words_of_windows_belong_to_their_split(split: str) -> None:
    listed = {word for other in SPLITS for word in words.words(other)}
    for seed in range(100):
        window = html.make_window(Random(seed), split)
        labels = [widget.label for widget in window.widgets]
        assert len(set(labels)) == len(labels) and {face.file for face in window.tile.faces} <= _files(split)
        for widget in window.widgets:
            word = widget.state
            assert widget.kind != "field" or words.split_of(word) == split or word not in listed
        assert max(window.tile.size) <= 224 and min(window.tile.size) >= 28


def _files(split: str) -> set[str]:
    return {face.file for face in fonts.FACES[split]}


def digest() -> str:
    windows = [html.make_window(Random(seed), "val") for seed in range(5)]
    return hashlib.sha256(repr(windows).encode()).hexdigest()


@needs_browser
def test_same_seed_same_page_in_another_process() -> None:
    check_repeatable(digest)


def test_the_install_script_has_the_line_that_errors_name():
    script = Path(__file__).resolve().parents[2] / "scripts" / "install-browser.sh"
    assert browser.INSTALL_LINE in script.read_text().splitlines()
