import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from qwen2vl.cli import terminal
from qwen2vl.cli.asking import with_regions
from qwen2vl.inference import Chat

BEGUN = ("--prefill", "<|box_start|>(101,207),(333,777)<|box_end|>", "--max-new-tokens", "1")
"""A reply with a place, whatever the model says."""
TEXT = "red dot\nred dot: (14,17)-(70,50) px\n"


@pytest.fixture
def ask(run, taught_directory, files):
    """ask("Where?") runs the verb with the taught model and the photo."""

    def call(*argv, image=True, **options):
        media = ["--image", files / "photo.png"] if image else []
        return run("chat", "--model", taught_directory, *media, *argv, **options)

    return call


@pytest.fixture(scope="module")
def chat_of(taught_directory):
    return Chat(taught_directory)


def test_stdout_has_the_text_and_the_places_below_it(ask):
    result = ask("Where?")
    assert (result.code, result.out, result.err) == (0, TEXT, "")


def test_a_question_can_be_piped_in(ask):
    assert ask(piped="Where?").out == TEXT
    assert ask("Where?", piped="not read").out == TEXT


@pytest.mark.parametrize("piped", ["Where?\n", "Where?\r\n", "\ufeffWhere?\r\n\r\n", "  Where? \r", "Where?"])
def test_line_ends_around_a_question_do_not_change_the_answer(ask, piped):
    """Windows ends lines with \\r\\n, and its shells begin a pipe with a byte order mark."""
    asked = json.loads(ask("Where?", "--json").out)
    assert json.loads(ask("--json", piped=piped).out) == asked
    assert json.loads(ask("--json", piped.removeprefix("\ufeff")).out) == asked


def test_line_ends_within_a_question_are_those_of_unix(ask):
    tokens = [
        json.loads(ask("--json", "--max-new-tokens", "1", piped=text).out)["usage"]["prompt_tokens"]
        for text in ("a\r\nb", "a\nb")
    ]
    assert tokens[0] == tokens[1]


def test_a_piped_question_that_is_not_utf8_is_refused(taught_directory):
    command = [sys.executable, "-m", "qwen2vl", "chat", "--model", str(taught_directory)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8:strict"}
    for piped in (b"\xff\xfeW\x00h\x00", b"caf\xe9?"):
        done = subprocess.run(command, input=piped, capture_output=True, env=environment)
        assert done.returncode == 2
        assert done.stderr.decode().startswith("qwen2vl chat: the piped question is not text in UTF-8: convert it")


def test_a_tilde_in_files_is_the_home_directory(run, files, taught_directory, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(files))
    result = run("chat", "--model", taught_directory, "--image=~/photo.png", "Where?", "--draw=~/home.png")
    assert (result.code, result.out) == (0, TEXT)
    assert (files / "home.png").exists()
    (files / "home.png").unlink()
    assert run("cost", "--image", "~/photo.png", "--json").code == 0
    monkeypatch.setenv("HOME", str(taught_directory.parent))
    assert run("chat", "--model", "~/taught", "Greet").code == 0


def test_an_image_under_a_system_message_needs_no_question(ask):
    for argv, piped in (([""], "unread"), ([], " \n")):
        result = ask("--system", "Where?", "--json", "--max-new-tokens", "1", *argv, piped=piped)
        assert result.code == 0, result.err
        assert json.loads(result.out)["usage"]["visual_tokens"] == 15


def test_an_image_or_video_can_be_piped_in(ask, files, run):
    photo, video = (files / "photo.png").read_bytes(), (files / "video.mp4").read_bytes()
    assert ask("--image", "-", "Where?", image=False, piped=photo).out == TEXT
    answer = json.loads(ask("--video", "-", "Where?", "--json", image=False, piped=video).out)
    assert [media["kind"] for media in answer["media"]] == ["video"]
    printed = json.loads(run("cost", "--image", "-", "--json", piped=photo).out)
    assert (printed["items"][0]["name"], printed["items"][0]["original_size"]) == ("-", [140, 84])
    assert run("cost", "--video", "-", "--json", piped=video).code == 0


def test_a_wrong_standard_input_is_refused(ask, run):
    for argv, message in (
        (["--image", "-"], "- reads an image or video from the standard input: write the question in quotes"),
        (["--image", "-", "--video", "-", "What?"], "- is given more than once"),
        (["--image", "-", "What?"], "the standard input is empty, 0 bytes"),
    ):
        result = ask(*argv, image=False, piped=b"")
        assert (result.code, result.out) == (2, "")
        assert message in result.err
    assert "not in a supported image format" in ask("--image", "-", "What?", image=False, piped=b"words").err
    assert "- is given more than once" in run("cost", "--image", "-", "--image", "-").err


def test_the_other_kind_of_file_is_named(ask, files, run):
    video, photo = files / "video.mp4", files / "photo.png"
    for verb in (lambda *argv: ask(*argv, "What?", image=False), lambda *argv: run("cost", *argv)):
        assert "video.mp4 is a video, not an image: give it with --video" in verb("--image", video).err
        assert "photo.png is an image, not a video: give it with --image" in verb("--video", photo).err


def test_json_has_text_places_settings_and_media(ask):
    result = ask("Where?", "--json", "--seed", "3")
    answer = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert answer["text"].startswith("<|object_ref_start|>red dot")
    assert answer["boxes"][0]["xyxy_1000"] == [100, 200, 500, 600]
    assert answer["finish_reason"] == "stop"
    assert answer["settings"]["temperature"] == 0
    assert answer["media"][0]["original_size"] == [140, 84]
    assert answer["drawn"] == []


def test_draw_writes_the_image_with_its_box(ask, tmp_path, photo):
    target = tmp_path / "out.png"
    result = ask("Where?", "--draw", target)
    assert result.out == TEXT
    assert result.err == f"drawn: {target}\n"
    with Image.open(target) as drawn:
        changed = (np.asarray(drawn.convert("RGB")) != np.asarray(photo)).any(2)
    assert changed[17:50, 14].mean() > 0.8, "the left side of the box"
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_drawing_picks_the_image_that_the_places_are_on(ask, files, tmp_path, photo):
    """The answer names no image, so its places are on the last one."""
    Image.new("RGB", (280, 168), "blue").save(files / "blue.png")
    result = ask("--image", files / "blue.png", "Where?", "--draw", tmp_path / "out.jpg", "--json", *BEGUN)
    assert json.loads(result.out)["drawn"] == [str(tmp_path / "out.jpg")]
    with Image.open(tmp_path / "out.jpg") as drawn:
        assert drawn.size == (280, 168)


def test_without_places_nothing_is_written_and_the_reason_is_said(ask, tmp_path):
    target = tmp_path / "out.png"
    for options in ([], ["--json"]):
        result = ask("Greet", "--draw", target, "--max-new-tokens", "1", *options)
        assert result.code == 0
        assert f"nothing drawn: the reply names no place in an image, so {target} was not written" in result.err
        assert list(tmp_path.iterdir()) == []
    assert json.loads(result.out)["drawn"] == []


def test_times_and_coordinates_of_json_are_rounded(ask, files):
    result = ask("--video", files / "video.mp4", "--fps", "3", "Where?", "--json", *BEGUN)
    answer = json.loads(result.out)
    numbers = [*answer["media"][1]["timestamps_s"], *answer["boxes"][0]["xyxy_px"]]
    assert numbers == [round(number, 3) for number in numbers]
    assert len(answer["media"][1]["timestamps_s"]) == 6


def test_settings_reach_the_model(ask):
    result = ask("Greet", "--stop", "END", "--stop", "world", image=False)
    assert (result.out, result.err) == ("Good day, dear \n", "")
    result = ask("Greet", "--max-new-tokens", "2", image=False)
    assert result.err == "(cut after 2 tokens: --max-new-tokens allows more)\n"
    result = ask("Loop", image=False)
    assert "repeated itself" in result.err
    drawn = [ask("Hm?", "--temperature", "3", "--max-new-tokens", "20", "--seed", seed).out for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_fps_sets_the_number_of_frames_of_a_video(ask, files):
    sizes = []
    for fps in ("2", "4"):
        result = ask("--video", files / "video.mp4", "--fps", fps, "Hm?", "--json", "--max-new-tokens", "1")
        sizes.append(json.loads(result.out)["media"][1]["num_frames"])
    assert sizes == [4, 8]


def test_a_part_of_a_video_and_a_number_of_frames_can_be_chosen(ask, files):
    def frames(*argv):
        result = ask("--video", files / "video.mp4", "Hm?", "--json", "--max-new-tokens", "1", *argv)
        assert result.code == 0, result.err
        return json.loads(result.out)["media"][1]["timestamps_s"]

    assert len(frames("--fps", "4")) == 8
    assert len(frames("--fps", "4", "--max-frames", "4")) == 4
    assert all(0.9 <= time <= 1.6 for time in frames("--fps", "4", "--video-start", "1", "--video-end", "1.5"))


def test_a_region_is_put_where_the_question_says(ask, files, chat_of):
    result = ask("--box", "14,21,70,42", "What is at {box}?", "--json", "--max-new-tokens", "1")
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": str(files / "photo.png")},
                {"type": "text", "text": "What is at "},
                {"type": "box", "box": [100, 250, 500, 500]},
                {"type": "text", "text": "?"},
            ],
        }
    ]
    assert json.loads(result.out)["usage"]["prompt_tokens"] == chat_of.processor(messages).num_tokens
    before = ask("--box", "14,21,70,42", "What?", "--json", "--max-new-tokens", "1")
    messages[0]["content"][1:] = [{"type": "box", "box": [100, 250, 500, 500]}, {"type": "text", "text": "What?"}]
    assert json.loads(before.out)["usage"]["prompt_tokens"] == chat_of.processor(messages).num_tokens


def test_several_regions_are_put_in_order(files):
    boxes = [{"type": "box", "box": [n, n, n + 1, n + 1]} for n in range(3)]
    regions = [box["box"] for box in boxes]
    assert with_regions("What?", []) == "What?"
    assert with_regions("{box} or {box}?", regions) == [
        boxes[0], boxes[1], {"type": "text", "text": " or "}, boxes[2], {"type": "text", "text": "?"},
    ]  # fmt: skip
    assert with_regions("{box} {box}", regions[:1]) == [boxes[0], {"type": "text", "text": " {box}"}]


def test_a_reply_can_be_begun(ask):
    result = ask("Greet", "--prefill", "Good day,", image=False)
    assert (result.code, result.out) == (0, "Good day, dear world. END of it.\n")
    answer = json.loads(ask("Greet", "--prefill", "Good day,", "--json", image=False).out)
    assert (answer["prefill"], answer["text"]) == ("Good day,", " dear world. END of it.")
    result = ask("Where?", "--prefill", "<|object_ref_start|>red dot<|object_ref_end|><|box_start|>(")
    assert result.out == TEXT


def test_a_penalty_of_repetition_reaches_the_sampler(ask):
    result = ask("Loop", "--repetition-penalty", "20", "--json", "--max-new-tokens", "40", image=False)
    assert json.loads(result.out)["settings"]["repetition_penalty"] == 20
    assert not json.loads(result.out)["text"].startswith("on and on and on and")


def test_images_keep_the_pixel_limit(ask):
    result = ask("Where?", "--json", "--max-pixels", 56 * 56, "--max-new-tokens", "1")
    width, height = json.loads(result.out)["media"][0]["resized"]
    assert width * height <= 56 * 56


def test_verbose_shows_the_cost(ask):
    result = ask("Where?", "-v")
    assert result.out == TEXT
    assert "tokens in (15 visual, 0 cached)" in result.err


def test_control_c_keeps_the_text_so_far_and_exits_with_130(ask, monkeypatch):
    class Interrupted(terminal.ReadableText):
        def push(self, piece):
            if "dear" in piece:
                raise KeyboardInterrupt
            return super().push(piece)

    monkeypatch.setattr(terminal, "ReadableText", Interrupted)
    result = ask("Greet", image=False)
    assert result.code == 130
    assert result.out == "Good day,\n"
    assert "interrupted after" in result.err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_control_c_in_a_separate_process(taught_directory):
    """The reply has 256 tokens; on a busy machine it can be complete before the signal arrives. So its process has a low
    priority, and there are five tries."""
    command = ["nice", "-n", "19", sys.executable, "-m", "qwen2vl", "chat", "--model", str(taught_directory), "Loop"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            first = process.stdout.read(5)
            process.send_signal(signal.SIGINT)
            rest, err = process.communicate()
        if process.returncode:
            break
    assert process.returncode == 130
    assert (first + rest).decode().startswith("on an")
    assert b"interrupted after" in err
    assert b"Traceback" not in err
