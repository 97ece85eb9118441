"""A conversation on a terminal, with given lines in place of typed ones."""

import builtins
import json
import shutil
import sys

import pytest
from PIL import Image

from qwen2vl.cli import terminal
from qwen2vl.cli.conversation_files import completions
from qwen2vl.cli.main import main
from qwen2vl.inference import Chat


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


@pytest.fixture(scope="module")
def chat_of_directory(taught_directory):
    return Chat(taught_directory)


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
            "/paint",
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
        "/paint is not a command: valid are /image",
        "supported image format",
        "damaged",
        "context holds 1024",
    ):
        assert message in err
    assert "/reset" in err


def test_draw_writes_the_places_of_the_last_reply(talk, files, tmp_path):
    target = tmp_path / "a b.png"
    lines = ["/draw out.png", f"/image {files / 'photo.png'}", "Where?", "/draw nowhere/x.png", f"/draw '{target}'"]
    code, _, err = talk(lines)
    assert code == 0
    assert "/draw needs a reply about an image" in err
    assert "/draw nowhere/x.png cannot be written" in err
    assert f"drawn: {target}" in err
    with Image.open(target) as drawn, Image.open(files / "photo.png") as photo:
        assert drawn.tobytes() != photo.convert("RGB").tobytes()


def test_a_conversation_is_saved_and_loaded(talk, files, tmp_path, monkeypatch, chat_of_directory):
    saved = tmp_path / "talk.json"
    monkeypatch.chdir(files)
    lines = ["/save empty.json", "/image photo.png", "Where?", "/save talk.txt", f"/save {saved}", "/cost"]
    code, _, err = talk(lines, "--system", "Be brief.")
    assert code == 0
    for message in ("has nothing to write", "does not end with .json", f"saved: {saved}"):
        assert message in err
    messages = json.loads(saved.read_text())
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"][0] == {"type": "image", "image": str(files / "photo.png")}
    asked = [*messages, {"role": "user", "content": "and now?"}]
    expected = chat_of_directory.chat(asked, max_new_tokens=5)
    monkeypatch.chdir(tmp_path)
    code, _, err = talk([f"/load {saved}", "and now?", "/cost", "/system"], "--max-new-tokens", "5")
    assert code == 0
    assert "3 messages, continued by the next question" in err
    assert f"{expected.usage.prompt_tokens + expected.usage.completion_tokens} of 1024 tokens, 15 of them visual" in err
    assert "system message: Be brief." in err


def test_files_that_are_no_conversation_are_refused_and_nothing_is_lost(talk, files, tmp_path):
    wrong = {
        "list.json": ("[1]", "is no list of messages"),
        "cut.json": ("[{", "is not JSON"),
        "open.json": ('[{"role": "user", "content": "Hm?"}]', "must end with a reply"),
        "gone.json": ('[{"role": "user", "content": [{"type": "image", "image": "gone.png"}]}]', "there is no file"),
        "role.json": ('[{"role": "boss", "content": "Hm?"}]', "has the role"),
    }
    for name, (text, _) in wrong.items():
        (tmp_path / name).write_text(text)
    lines = [f"/image {files / 'photo.png'}", "Where?", *(f"/load {tmp_path / name}" for name in wrong)]
    code, _, err = talk([*lines, f"/load {tmp_path / 'missing.json'}", "/cost"])
    assert code == 0
    for _, message in wrong.values():
        assert message in err
    assert "there is no readable file" in err
    assert "15 of them visual" in err


def test_regenerate_replaces_the_last_reply(talk, tmp_path):
    code, out, err = talk(["/regenerate", "Greet", "/regenerate", f"/save {tmp_path / 'a.json'}"])
    assert (code, out) == (0, "Good day, dear world. END of it.\n" * 2)
    assert "there is no reply yet" in err
    assert "at temperature 0 the reply is always the same" in err
    assert len(json.loads((tmp_path / "a.json").read_text())) == 2
    code, out, err = talk(["Hm?", "/regenerate"], "--temperature", "3", "--seed", "1", "--max-new-tokens", "20")
    assert code == 0
    _, first, _ = talk(["Hm?"], "--temperature", "3", "--seed", "1", "--max-new-tokens", "20")
    assert out.startswith(first)
    assert out != first * 2, "another seed gives another reply"
    assert "temperature 0" not in err


def test_draw_without_a_place_writes_nothing(talk, files, tmp_path):
    lines = [f"/image {files / 'photo.png'}", "Greet", f"/draw {tmp_path / 'a.png'}", "word " * 600]
    code, _, err = talk(lines, "--max-new-tokens", "1")
    assert code == 0
    assert "nothing drawn: the reply names no place" in err
    assert list(tmp_path.iterdir()) == []
    assert "(--max-pixels)" in err, "errors name options in a conversation too"


def test_the_system_message_is_changed_for_the_next_turns(talk, tmp_path):
    saved = tmp_path / "a.json"
    code, _, err = talk(
        ["/system", "/system 'Be brief.'", "Greet", "/system Be kind.", "Greet", f"/save {saved}", "/reset", "/system"],
        "--max-new-tokens",
        "3",
    )
    assert code == 0
    shown = [line for line in err.splitlines() if line.startswith("system message: ")]
    assert shown == [
        f"system message: {text}" for text in ("You are a helpful assistant.", "Be brief.", "Be kind.", "Be kind.")
    ]
    messages = json.loads(saved.read_text())
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[0]["content"] == "Be kind."


def test_a_region_of_the_last_image_is_asked_about(talk, files, tmp_path):
    saved = tmp_path / "a.json"
    lines = [
        "/box 1,2,3,4",
        f"/image {files / 'photo.png'}",
        "/box 14,21,70,42",
        "/box 1,2,3,400",
        "What?",
        "/box 0,0,140,84",
    ]
    code, _, err = talk([*lines, "And {box}?", f"/save {saved}"], "--max-new-tokens", "2")
    assert code == 0
    assert "/box 1,2,3,4 needs an image" in err
    assert '/box is "1,2,3,400": it must be within the last image, 140x84 pixels' in err
    first, _, second, _ = json.loads(saved.read_text())
    assert first["content"][1:] == [{"type": "box", "box": [100, 250, 500, 500]}, {"type": "text", "text": "What?"}]
    assert second["content"] == [
        {"type": "text", "text": "And "},
        {"type": "box", "box": [0, 0, 999, 999]},
        {"type": "text", "text": "?"},
    ]


def test_tab_completes_commands_and_paths(tmp_path, monkeypatch):
    (tmp_path / "some folder").mkdir()
    for name in ("one.png", "other.png", "two.png", ".hidden.png", "some folder/in.png"):
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    commands = ["/image", "/reset", "/regenerate", "/load"]
    assert completions("/i", commands) == ["/image "]
    assert completions("/re", commands) == ["/reset", "/regenerate"]
    assert completions("Where", commands) == completions("/reset o", commands) == []
    assert completions("/image o", commands) == ["/image one.png", "/image other.png"]
    assert completions("/image ", commands) == [
        "/image one.png", "/image other.png", "/image some folder/", "/image two.png",
    ]  # fmt: skip
    assert completions("/load ~/tw", commands) == ["/load ~/two.png"]
    assert completions("/load some folder/", commands) == ["/load some folder/in.png"]
    assert completions("/image nowhere/", commands) == []
    assert completions(f"/image {tmp_path}/.h", commands) == [f"/image {tmp_path}/.hidden.png"]


@pytest.mark.parametrize(
    "line", ["/image ~/x y.png", "/image '~/x y.png'", "/image ~/x\\ y.png", '/image "{home}/x y.png"']
)
def test_paths_are_read_as_terminals_write_them(talk, files, tmp_path, monkeypatch, line):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(files / "photo.png", tmp_path / "x y.png")
    code, _, err = talk([line.format(home=tmp_path)])
    assert code == 0
    assert f"{tmp_path / 'x y.png'}: 140x84 pixels" in err


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
