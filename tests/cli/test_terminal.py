import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.cli import terminal
from qwen2vl.cli.terminal import ReadableText, describe_place
from qwen2vl.processing.grounding import Box, Point, parse_places

MARKED = "The <|object_ref_start|>lamp<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|> is on."


def test_in_a_pipe_only_long_work_is_mentioned(capsys, monkeypatch):
    mentioned = threading.Event()
    monkeypatch.setattr(terminal, "PATIENCE_S", 600)
    with terminal.working("reading"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(terminal, "PATIENCE_S", 0)
    monkeypatch.setattr(
        terminal, "print", lambda text, **where: mentioned.set() if text == "reading ..." else None, raising=False
    )
    with terminal.working("reading"):
        assert mentioned.wait(30)


def shown(text, sizes):
    readable, pieces = ReadableText(), []
    while text:
        pieces.append(readable.push(text[: sizes[0]]))
        text, sizes = text[sizes[0] :], [*sizes[1:], sizes[0]]
    return [*pieces, readable.finish()]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_marks_are_removed_wherever_the_text_is_cut(sizes):
    assert "".join(shown(MARKED, sizes)) == "The lamp is on."


@settings(deadline=None, max_examples=80)
@given(st.text(st.sampled_from("ab <|>\n"), max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_other_text_is_unchanged(text, sizes):
    assert "".join(shown(text, sizes)) == text


def test_text_comes_as_early_as_possible():
    readable = ReadableText()
    assert [readable.push(piece) for piece in ("The ", "<", "b", "<|box", "_start|>(1,2)", "<|box_end|>", "!")] == [
        "The ", "", "<b", "", "", "", "!",
    ]  # fmt: skip


def test_an_unfinished_box_is_held_back_for_a_limited_length():
    text = "<|box_start|>" + "x" * 500
    assert "".join(shown(text, [7])) == text


def test_control_characters_are_removed():
    assert "".join(shown("a\x1b[2Jb\x07c\r\td\n\x9b", [2])) == "a[2Jbc\td\n"


@pytest.mark.parametrize(
    ("markup", "images", "message"),
    [
        ("<|object_ref_start|>red\x1b dot<|object_ref_end|><|box_start|>(100,200),(500,600)<|box_end|>", 1,
         "red dot: (14,17)-(70,50) px"),
        ("<|box_start|>(100,200),(500,600)<|box_end|>", 2, "(14,17)-(70,50) px, image 2"),
        ("Picture 1: <|box_start|>(500,250)<|box_end|>", 2, "(70,21) px, image 1"),
        ("<|quad_start|>(0,0),(500,0),(500,500),(0,500)<|quad_end|>", 1, "(0,0)-(70,0)-(70,42)-(0,42) px"),
    ],
)  # fmt: skip
def test_places_are_described_in_pixels(markup, images, message):
    places = parse_places(markup, [(140, 84)] * images)
    (place,) = (*places.boxes, *places.points)
    assert isinstance(place, Box | Point)
    assert describe_place(place, images) == message


def test_progress_in_a_pipe_is_a_line_for_each_tenth(capsys):
    with terminal.progress("building") as show:
        for done in range(41):
            show(done, 40, "1 rejected")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "building: 40 of 40  1 rejected"
    with terminal.progress("drawing") as show:
        show(3, None)
        show(5, None)
    assert capsys.readouterr().err == "drawing: 3\ndrawing: 5\n"


def test_progress_on_a_terminal_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress("building") as show:
        show(1, None)
        show(3, 8, "1 rejected")
    assert "building" in capsys.readouterr().err


def test_progress_in_bytes_and_with_a_line_for_every_fifty_items(capsys):
    with terminal.progress("writing", unit="bytes") as show:
        show(10_000_000, 4_000_000_000)
        show(1_200_000_000, 4_000_000_000)
    assert capsys.readouterr().err == "writing: 1.20 GB of 4.00 GB\n"
    with terminal.progress("training", line_every=50) as show:
        for done in range(40, 121):
            show(done, 120, "loss 1.0")
    assert capsys.readouterr().err.splitlines() == [f"training: {n} of 120  loss 1.0" for n in (50, 100, 120)]
