"""A conversation on a terminal, with given lines in place of typed ones."""

import builtins
import sys

import pytest

from qwen2vl.cli import terminal
from qwen2vl.cli.main import main


@pytest.fixture
def talk(capsys, monkeypatch, taught_directory):
    """talk(lines, options) -> (exit code, stdout, stderr); a line that is an exception is raised at the prompt."""

    def call(lines, *options):
        waiting = iter([*lines, EOFError()])

        def typed(prompt):
            line = next(waiting)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr(builtins, "input", typed)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        capsys.readouterr()
        code = main(["chat", "--model", str(taught_directory), *map(str, options)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_questions_commands_and_cost_in_one_conversation(talk, files):
    code, out, err = talk(
        [
            f"/image {files / 'photo.png'}",
            "Where?",
            "",
            "/cost",
            "and now?",
            "/cost",
            "/reset",
            "/cost",
            "/quit",
            "never",
        ],
        "--max-new-tokens",
        "60",
    )
    assert code == 0
    assert out.startswith("red dot\nred dot: (14,17)-(70,50) px\n")
    assert "140x84 pixels, shown with the next question" in err
    costs = [line for line in err.splitlines() if "keys and values" in line]
    assert len(costs) == 2
    assert all("of 1024 tokens, 15 of them visual" in line for line in costs)
    assert "all forgotten" in err
    assert "no question asked yet" in err
    assert "never" not in out


def test_an_empty_line_shows_a_waiting_image_after_the_first_turn(talk, files):
    image = f"/image {files / 'photo.png'}"
    code, _, err = talk([image, "", "/cost", "Where?", image, "", "/cost"], "--max-new-tokens", 30)
    assert code == 0
    assert "no question asked yet; waiting: 1 images" in err
    assert "30 of them visual" in err


def test_files_of_the_command_line_are_shown_with_the_first_question(talk, files):
    code, out, err = talk(["Where?"], "--image", files / "photo.png")
    assert (code, out) == (0, "red dot\nred dot: (14,17)-(70,50) px\n")
    code, _, err = talk(["/video " + str(files / "video.mp4"), "/cost"])
    assert code == 0
    assert "96x64 pixels, 2.0 s" in err
    assert "waiting: 0 images, 1 videos" in err


def test_a_wrong_file_on_the_command_line_is_reported_before_any_tensor_is_read(talk, files, no_tensor_can_be_read):
    for option, name in (("--image", "notes.txt"), ("--image", "missing.png"), ("--video", "notes.mp4")):
        code, out, err = talk(["Where?"], option, files / name)
        assert (code, out) == (2, "")
        assert name in err
        assert "is ready" not in err


def test_an_error_is_printed_and_the_conversation_continues(talk, files):
    code, out, err = talk(
        [
            "/draw",
            f"/image {files / 'notes.txt'}",
            f"/image {files / 'cut.png'}",
            "Where?",
            "word " * 600,
            KeyboardInterrupt(),
            f"/image '{files / 'photo.png'}'",
            "Where?",
            "/help",
        ]
    )
    assert code == 0
    assert out == "red dot\nred dot: (14,17)-(70,50) px\n"
    for message in (
        "/draw is not a command: valid are /image",
        "supported image format",
        "damaged",
        "context holds 1024",
    ):
        assert message in err
    assert "/reset" in err


def test_json_needs_a_question(talk):
    code, _, err = talk([], "--json")
    assert code == 2
    assert "need a question" in err


def test_control_c_in_a_reply_returns_to_the_prompt(talk, monkeypatch):
    class Interrupted(terminal.ReadableText):
        def push(self, piece):
            if "dear" in piece:
                raise KeyboardInterrupt
            return super().push(piece)

    monkeypatch.setattr(terminal, "ReadableText", Interrupted)
    code, out, err = talk(["Greet", "/cost"])
    assert code == 0
    assert out == "Good day,\n"
    assert "interrupted after" in err
    assert "tokens" in err.splitlines()[-2]
