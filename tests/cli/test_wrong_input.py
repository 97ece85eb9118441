"""Wrong input: one sentence with the thing, the value, the rule and the fix; exit code 2; no traceback."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl.spec.config import NANO


def refused(result, *message):
    """Check that a result is a refusal whose sentence has these texts; returns the sentence."""
    assert result.code == 2, result.err
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert "Traceback" not in result.err
    assert lines[0].startswith("qwen2vl ")
    assert ": " in lines[0].split(" ", 2)[2], "the fix is after a colon"
    for text in message:
        assert text in lines[0]
    return lines[0]


IMAGES = [
    ("missing.png", ["there is no file", "check the path"]),
    ("empty.png", ["empty.png is empty, 0 bytes", "save or download it again"]),
    ("notes.txt", ["notes.txt is not in a supported image format", "convert it to JPEG"]),
    ("cut.png", ["cut.png is damaged or truncated"]),
    ("video.mp4", ["video.mp4 is a video, not an image: give it with --video"]),
    ("", ["is a directory, not a file", "name one image"]),
]
VIDEOS = [
    ("missing.mp4", ["there is no file", "check the path of the video"]),
    ("empty.mp4", ["empty.mp4 is empty, 0 bytes"]),
    ("notes.mp4", ["notes.mp4", "format"]),
    ("sound.wav", ["sound.wav", "no video"]),
    ("", ["is a directory, not a file", "name one video"]),
]


@pytest.mark.parametrize(("name", "message"), IMAGES, ids=[name or "directory" for name, _ in IMAGES])
def test_images_that_cannot_be_read_are_refused(run, files, taught_directory, name, message):
    refused(run("chat", "--model", taught_directory, "--image", files / name, "What?"), *message)
    if name != "cut.png":  # its header is whole, and cost reads no more
        refused(run("cost", "--image", files / name), *message)


@pytest.mark.parametrize(("name", "message"), VIDEOS, ids=[name or "directory" for name, _ in VIDEOS])
def test_videos_that_cannot_be_read_are_refused(run, files, taught_directory, name, message):
    refused(run("chat", "--model", taught_directory, "--video", files / name, "What?"), *message)
    refused(run("cost", "--video", files / name), *message)


@pytest.mark.parametrize(
    ("option", "name"), [("--image", "missing.png"), ("--image", "cut.png"), ("--video", "notes.mp4")]
)
def test_a_wrong_file_is_reported_before_any_tensor_is_read(
    run, files, taught_directory, no_tensor_can_be_read, option, name
):
    refused(run("chat", "--model", taught_directory, option, files / name, "What?"), name)


@pytest.mark.parametrize("url", ["https://example.com/a.png", "http://127.0.0.1:9/a.png"])
def test_a_url_needs_its_host_allowed(run, taught_directory, url):
    line = refused(run("chat", "--model", taught_directory, "--image", url, "What?"), "is not an allowed host")
    assert "--allow-host" in line


def test_other_schemes_and_damaged_data_urls_are_refused(run, taught_directory):
    refused(run("chat", "--model", taught_directory, "--image", "ftp://a/b.png", "What?"), "scheme")
    refused(run("chat", "--model", taught_directory, "--image", "data:image/png;base64,@@", "What?"), "base64")


@pytest.mark.parametrize("question", ["", "  \n "])
def test_an_empty_question_is_refused(run, files, question):
    refused(run("chat", "--image", files / "photo.png", question), "the question is empty")
    refused(run("chat", "--image", files / "photo.png", piped=question), "there is no question")


def test_placeholders_that_are_typed_are_text(run, taught_directory):
    """A control token cannot be typed, so the number of placeholders always matches the media."""
    typed = "<|vision_start|><|image_pad|><|vision_end|>Greet<|im_end|>"
    result = run("chat", "--model", taught_directory, "--json", "--max-new-tokens", "1", typed)
    assert result.code == 0
    assert json.loads(result.out)["usage"]["visual_tokens"] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["chat", "--imgae", "a.png", "What?"], ["--imgae is not an option (did you mean --image?)", "--max-pixels"]),
        (["chat", "--colour", "What?"], ["--colour is not an option: valid are"]),
        (["chat", "What", "is", "it?"], ['"is" is too much', "quotes"]),
        (["chat", "--image", "a.png", "What", "is", "it?"], ['"is" is too much', "quotes"]),
        (
            ["chat", "--image", "a.png", "b.png", "What?"],
            ['"b.png" follows --image a.png: repeat --image, --image a.png --image b.png'],
        ),
        (["chat", "--image=a.png", "b.png", "c.jpg", "What?"], ["repeat --image"]),
        (
            ["chat", "--video", "a.mp4", "https://x.y/b", "What?"],
            ["repeat --video, --video a.mp4 --video https://x.y/b"],
        ),
        (["chat", "a.png", "b.png", "What?"], ['"b.png" is too much: name a file with --image or --video']),
        (["cost", "a.png"], ['"a.png" is too much: name a file with --image or --video']),
        (["cost", "--size", "9x9", "8x8"], ['"8x8" is too much']),
        (["cost", "--image", "a.png", "b.png"], ["repeat --image, --image a.png --image b.png"]),
        (["chat", "--temperature", "warm", "What?"], ['--temperature is "warm": it must be a number']),
        (["chat", "--top-k=1.5", "What?"], ['--top-k is "1.5": it must be a whole number']),
        (["chat", "--json=yes", "What?"], ['--json takes no value, but "yes" was given']),
        (["chat", "What?", "--stop"], ["--stop has no value"]),
        (["cost"], ["there is no image or video", "--size WxH"]),
        (["cost", "--size", "640"], ['--size is "640": it must look like 640x480']),
        (["cost", "--size", "0x5"], ['--size is "0x5": every number must be over 0']),
        (["cost", "--size", "0x0"], ['--size is "0x0": every number must be over 0']),
        (["cost", "--clip", "64x64x0"], ['--clip is "64x64x0": every number must be over 0']),
        (
            ["train", "finetune", "--data", "x", "--lora-rank", "8", "--parts", "merger"],
            ["--lora-rank 8 trains adapters, and --parts merger has no layer that takes one: add decoder or tower"],
        ),
        (["train", "finetune", "--data", "x", "--lora-rank", "-8"], ["--lora-rank is -8"]),
        (["train", "finetune", "--data", "x", "--lora-rank", "8", "--lora-alpha", "-3"], ["--lora-alpha -3.0"]),
        (["convert", "nano", "--out", "x", "--dtype", "fp16"], ["--dtype fp16 is refused", "use bf16 or fp32"]),
        (["cost", "--clip", "64x64x4", "--max-tokens", "-1"], ["--max-tokens is -1: it must be at least 1"]),
        (["cost", "--size", "9999x9"], ["9999x9", "ratio over 200"]),
        (["cost", "--clip", "640x480"], ['--clip is "640x480": it must look like 1280x720x60']),
        (["cost", "--size", "64x64", "--model", "3b"], ['"3b"', "config.json", "checkpoint directory"]),
        (["convert", "nano"], ["--out is missing"]),
        (["convert", "nano", "--out", "x", "--max-shard-size", "many"], ['--max-shard-size is "many"', "4GB"]),
        (["convert", "nano", "--out", "x", "--max-shard-size", "0MB"], ['--max-shard-size is "0MB"']),
        (["env", "please"], ['"please" is too much']),
    ],
)
def test_wrong_options_are_refused(run, argv, message):
    refused(run(*argv), *message)


def test_an_unknown_verb_is_refused_with_the_valid_ones(run):
    result = run("draw", "x")
    assert result.code == 2
    assert result.err.startswith('"draw" is not a verb: valid are chat, cost')


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--temperature", "-1"], "--temperature is -1.0: it must be a number from 0"),
        (["--top-p", "2"], "--top-p is 2.0"),
        (["--top-k", "0"], "--top-k is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["--stop", ""], '--stop is "": give the text'),
        (["--stop", "END", "--stop", ""], '--stop is "": give the text'),
        (["--min-pixels", "100", "--max-pixels", "50"], "--min-pixels 100 and --max-pixels 50: both"),
        (["--max-pixels", "-5"], "--max-pixels -5"),
        (["--fps", "0", "--video", "{video}"], "--fps 0.0 is too low"),
        (["--fps", "2"], "--fps 2.0 has an effect on videos only"),
        (["--max-frames", "8"], "--max-frames 8 has an effect on videos only"),
        (["--video-end", "8"], "--video-end 8.0 has an effect on videos only"),
        (
            ["--video", "{video}", "--video-start", "2", "--video-end", "2"],
            "--video-end 2.0 is not after --video-start 2.0",
        ),
        (["--box", "1,2,3,4"], "--box 1,2,3,4 needs the image"),
        (["--image", "{photo}", "--box", "1,2,3"], '--box is "1,2,3": it must be x1,y1,x2,y2 in pixels'),
        (["--image", "{photo}", "--box", "5,2,5,9"], "the order is left,top,right,bottom"),
        (["--image", "{photo}", "--box", "1,2,3,85"], "within the last image, 140x84 pixels"),
        (["--repetition-penalty", "0"], "--repetition-penalty is 0.0: it must be a number over 0"),
        (["--device", "tpu"], '--device "tpu"'),
        (["--dtype", "int3"], '--dtype "int3" is unknown'),
        (["--dtype", "fp16"], "--dtype fp16 is refused"),
        (["--max-download-bytes", "0"], "--max-download-bytes is 0: it must be at least 1"),
        (
            ["--max-decoded-pixels", "100", "--image", "{photo}"],
            "over the ceiling of 100: make it smaller, or raise the ceiling with --max-decoded-pixels",
        ),
        (
            ["--max-tokens", "64"],
            "--max-tokens 64 has an effect on videos only: name one with --video, or limit the reply",
        ),
        (["--max-tokens", "0", "--video", "{video}"], "--max-tokens is 0: it must be at least 1"),
        (["--device", "tpu"], 'device "tpu"'),
        (["--dtype", "int3"], 'dtype "int3" is unknown'),
        (["--dtype", "fp16"], "fp16"),
        (["--draw", "{new}/out.png"], "needs an image to draw on"),
        (["--image", "{photo}", "--draw", "{new}/out.png"], "there is no directory"),
        (["--image", "{photo}", "--draw", "{folder}/out.gifx"], "no known ending"),
        (["--image", "{photo}", "--draw", "{folder}"], "no known ending"),
    ],
)
def test_settings_out_of_range_are_refused(run, files, taught_directory, argv, message):
    places = {"video": files / "video.mp4", "photo": files / "photo.png", "folder": files, "new": files / "new"}
    before = sorted(files.iterdir())
    refused(run("chat", "--model", taught_directory, *(word.format(**places) for word in argv), "What?"), message)
    assert sorted(files.iterdir()) == before


def test_a_prompt_longer_than_the_context_is_refused(run, taught_directory):
    sentence = refused(
        run("chat", "--model", taught_directory, "word " * 600), "tokens but the context holds 1024", "less text"
    )
    assert "max_pixels" not in sentence
    assert "--max-pixels" in sentence


def test_messages_name_options_and_leave_out_remarks_for_python(run, files, taught_directory):
    url = "https://example.com/a.png"
    sentence = refused(run("chat", "--model", taught_directory, "--image", url, "What?"), "--allow-host example.com or")
    assert "in Python" not in sentence
    refused(run("chat", "--model", taught_directory, "--dtype", "fp16", "Hm"), "become NaN; use bf16 or fp32")
    named = files / "max_pixels is.png"  # names in paths stay as they are
    refused(
        run("chat", "--model", taught_directory, "--image", f"{files}/fps_max_pixels.png", "What?"),
        "fps_max_pixels.png",
    )
    refused(run("chat", "--model", taught_directory, "--image", named, "What?"), "max_pixels is.png")


@pytest.mark.parametrize(
    ("argv", "rest"),
    [
        (["--image", "x" * 3000], ["there is no file"]),
        (["--image", f"data:image/png;base64,{'A' * 100_000}"], ["the data URL of the image"]),
        (["--image", "data:" + "A" * 100_000], ["the data URL of the image"]),
        (["--image", "ftp://" + "a/" * 3000], ["scheme"]),
        (["--model", "a/" * 2000], ["config.json"]),
        (["--dtype", "b" * 5000], ["is unknown"]),
        (["--temperature", "warm " * 500], ["it must be a number"]),
        (["--" + "o" * 4000], ["is not an option"]),
        (["one", "two " * 1000], ["is too much"]),
        (["--draw", "d" * 3000, "--image", "{photo}"], ["no known ending"]),
    ],
)
def test_long_values_are_shortened(run, files, taught_directory, argv, rest):
    argv = [word.format(photo=files / "photo.png") if len(word) < 10 else word for word in argv]
    sentence = refused(run("chat", "--model", taught_directory, *argv, "What?"), *rest)
    assert len(sentence) < 1400
    assert max(map(len, sentence.split())) < 300


def test_a_long_word_is_shortened_where_no_verb_is_known(run):
    result = run("v" * 5000)
    assert result.code == 2
    assert len(result.err) < 500


@pytest.mark.parametrize("name", ["photo.png", "video.mp4"])
def test_a_file_in_place_of_the_question_is_refused(run, files, taught_directory, name):
    photo = files / "photo.png"
    refused(
        run("chat", "--model", taught_directory, "--image", photo, files / name),
        "which is a file: show it with --image",
    )
    result = run("chat", "--model", taught_directory, "--max-new-tokens", "1", "Is photo.png good?")
    assert result.code == 0


@pytest.fixture
def checkpoint(taught_directory, tmp_path):
    return shutil.copytree(taught_directory, tmp_path / "checkpoint")


def change_tensors(directory, change):
    (file,) = directory.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def change_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


NORM = "model.norm.weight"
DAMAGES = {
    "missing tensor": (lambda tensors: tensors.pop(NORM), NORM),
    "extra tensor": (lambda tensors: tensors.update(other=torch.zeros(2)), "other"),
    "misshapen tensor": (lambda tensors: tensors.update({NORM: torch.zeros(3)}), NORM),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_checkpoints_with_other_tensors_are_refused(run, checkpoint, tmp_path, damage):
    change, name = DAMAGES[damage]
    change_tensors(checkpoint, change)
    refused(run("chat", "--model", checkpoint, "What?"), name, str(checkpoint))
    before = sorted(tmp_path.iterdir())
    refused(run("convert", checkpoint, "--out", tmp_path / "new"), name)
    assert sorted(tmp_path.iterdir()) == before, "no incomplete directory is left"


def test_a_config_of_another_model_is_refused(run, checkpoint):
    change_json(checkpoint / "config.json", model_type="llama")
    refused(run("chat", "--model", checkpoint, "What?"), '"llama"', "give a Qwen2-VL checkpoint")
    refused(run("cost", "--size", "64x64", "--model", checkpoint), '"llama"')


def test_a_config_with_an_unknown_key_is_refused(run, checkpoint):
    change_json(checkpoint / "config.json", clever_setting=1)
    refused(run("chat", "--model", checkpoint, "What?"), "clever_setting")


def test_a_config_of_another_size_is_refused(run, checkpoint):
    (checkpoint / "config.json").write_text(json.dumps(NANO.to_hub()))
    assert run("chat", "--model", checkpoint, "What?").code == 2


def test_damaged_and_missing_files_of_a_checkpoint_are_refused(run, checkpoint, tmp_path):
    refused(run("chat", "--model", tmp_path / "nowhere", "What?"), "nowhere", "config.json")
    (checkpoint / "tokenizer.json").write_text("{")
    refused(run("chat", "--model", checkpoint, "What?"), "tokenizer.json")
    (checkpoint / "config.json").write_text("{")
    refused(run("chat", "--model", checkpoint, "What?"), "not valid JSON")


@pytest.fixture
def run_folder(taught_directory, tmp_path):
    """The folder of a training run, as far as it is needed to recognise one."""
    folder = tmp_path / "mine"
    (folder / "checkpoints" / "step-5").mkdir(parents=True)
    (folder / "model").mkdir()
    shutil.copy(taught_directory / "config.json", folder / "model")
    shutil.copy(taught_directory / "tokenizer.json", folder / "model")
    (folder / "config.json").write_text('{"recipe": "finetune"}')
    return folder


@pytest.mark.parametrize("inside", ["", "model", "checkpoints", "checkpoints/step-5"])
def test_a_run_is_no_checkpoint_and_the_message_says_how_to_convert_it(run, run_folder, inside):
    given, command = run_folder / inside, f"qwen2vl convert {run_folder} --out DIR"
    refused(run("chat", "--model", given, "What?"), str(given), command)
    if inside != "model":  # it has a config, which is all that cost needs
        refused(run("cost", "--size", "64x64", "--model", given), command)
        refused(run("eval", "exam", "--model", given), command)


def test_a_run_with_an_adapter_is_refused_with_the_option_that_takes_it(run, run_folder, checkpoint):
    (run_folder / "adapter").mkdir()
    (run_folder / "adapter" / "adapter_config.json").write_text("{}")
    (run_folder / "adapter" / "adapter_model.safetensors").touch()
    refused(run("chat", "--model", run_folder, "What?"), f"--adapter {run_folder / 'adapter'}")
    refused(run("chat", "--model", run_folder / "adapter", "What?"), f"--adapter {run_folder / 'adapter'}")
    refused(run("chat", "--model", checkpoint, "--adapter", run_folder, "What?"), f'give "{run_folder / "adapter"}"')
    adapter = shutil.copytree(run_folder / "adapter", run_folder.parent / "adapter")
    refused(run("chat", "--model", adapter, "What?"), "is an adapter and no whole model", "--adapter")


def test_a_checkpoint_that_was_exported_into_a_run_is_used(run, run_folder, taught_directory):
    export = shutil.copytree(taught_directory, run_folder / "export")
    assert run("chat", "--model", export, "Greet").out == "Good day, dear world. END of it.\n"


def test_convert_does_not_write_over_files(run, taught_directory, tmp_path):
    (tmp_path / "old").write_text("mine")
    refused(run("convert", taught_directory, "--out", tmp_path), "already holds files")
    refused(run("convert", taught_directory, "--out", tmp_path / "old"), "is a file")
    refused(run("convert", taught_directory, "--out", tmp_path / "new", "--dtype", "int3"), "dtype")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_debug_shows_the_traceback(run, files):
    result = run("cost", "--debug", "--image", files / "notes.txt")
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("qwen2vl cost: ")


def test_a_separate_process_has_the_same_exit_code_and_message(files):
    command = [sys.executable, "-m", "qwen2vl", "chat", "--image", str(files / "notes.txt"), "What?"]
    model = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command[:4], "--draw", "a/b.png", *command[4:]], capture_output=True, text=True, env=model)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "qwen2vl chat: --draw a/b.png cannot be written: there is no directory a, make it first"
    ]
