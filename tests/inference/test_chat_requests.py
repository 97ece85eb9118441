"""Chat: ask, chat, stream and batch on the taught model."""

import copy
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl.common.errors import CheckpointError, ConfigError, LengthError, MediaError, MessageError, Qwen2VLError
from qwen2vl.inference import Chat, SamplingParams, Session
from qwen2vl.inference.chat import load_end_ids


def user(text, *images):
    parts = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def test_ask_about_an_image_gives_text_box_and_usage(chat, photo):
    answer = chat.ask("Where?", images=[photo])
    assert answer.text == "<|object_ref_start|>red dot<|object_ref_end|><|box_start|>(100,200),(500,600)<|box_end|>"
    (box,) = answer.boxes
    assert (box.label, box.image_index, box.xyxy_1000) == ("red dot", 0, (100, 200, 500, 600))
    assert box.xyxy_px == pytest.approx((14, 16.8, 70, 50.4))
    assert answer.finish_reason == "stop"
    assert answer.usage.visual_tokens == 15 == answer.media_sizes[0].num_tokens
    assert answer.usage.prompt_tokens == chat.processor(user("Where?", photo)).num_tokens
    assert answer.settings == SamplingParams(max_new_tokens=1024 - answer.usage.prompt_tokens)


def test_a_point_is_a_box_with_one_pair(chat, photo):
    answer = chat.ask("Point", images=[photo])
    assert answer.boxes == ()
    assert answer.points[0].xy_px == pytest.approx((70, 21))


def test_boxes_are_on_the_original_and_not_on_the_resized_image(chat, photo):
    large = photo.resize((560, 336))
    options = {"max_pixels": 140 * 84}
    content = [{"type": "image", "image": large, **options}, {"type": "text", "text": "Where?"}]
    answer = chat.chat([{"role": "user", "content": content}])
    assert answer.media_sizes[0].resized == (140, 84)
    assert answer.boxes[0].xyxy_px == pytest.approx((56, 67.2, 280, 201.6))


def test_a_question_without_media_is_answered(chat):
    assert chat.ask("Greet").text == "Good day, dear world. END of it."


def test_media_are_listed_images_first_then_videos(chat, photo):
    answer = chat.ask("Where?", images=[photo], videos=[[photo, photo]], system="Be brief.", max_new_tokens=2)
    assert [info.kind for info in answer.media_sizes] == ["image", "video"]
    assert answer.usage.visual_tokens == 15 + answer.media_sizes[1].num_tokens


def test_stream_pieces_are_the_text(chat, photo):
    for messages in (user("Greet"), user("Where?", photo)):
        stream = chat.stream(messages)
        pieces = list(stream)
        assert len(pieces) > 5
        assert "".join(pieces) == stream.answer.text == chat.chat(messages).text


def test_a_closed_stream_keeps_the_text_so_far(chat):
    stream = chat.stream(user("Greet"))
    first = next(stream)
    stream.close()
    assert stream.answer.text == first
    assert stream.answer.finish_reason == "interrupted"
    assert list(stream) == []


def test_an_interrupt_reaches_the_caller_and_keeps_the_text_so_far(chat):
    """Ctrl-C can come during a forward pass."""
    stream = chat.stream(user("Greet"))
    shown = [next(stream), next(stream)]

    def interrupt(*args):
        raise KeyboardInterrupt

    handle = chat.model.model.layers[1].register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    finally:
        handle.remove()
    assert stream.answer.text == "".join(shown)
    assert stream.answer.finish_reason == "interrupted"


def test_batch_equals_one_by_one_in_order(chat, photo):
    conversations = [user("Loop"), user("Where?", photo), user("Greet"), user("Point", photo, photo), user("Hm?")]
    options = {"max_new_tokens": 60}
    single = [chat.chat(messages, **options) for messages in conversations]
    for batch_size in (2, 16):
        together = chat.batch(conversations, batch_size=batch_size, **options)
        assert together == single
    assert len({answer.usage.completion_tokens for answer in single}) > 2, "replies must end at different steps"
    assert chat.batch([]) == []


def test_the_same_seed_gives_the_same_text_alone_and_in_a_batch(chat, photo):
    conversations = [user("Hm?"), user("Where?", photo), user("Hm, hm?")]
    options = {"temperature": 3.0, "top_p": 0.95, "top_k": 50, "seed": 11, "max_new_tokens": 25}
    single = [chat.chat(messages, **options).text for messages in conversations]
    torch.rand(5)  # the global generator must have no effect
    assert [answer.text for answer in chat.batch(conversations, **options)] == single
    assert chat.chat(conversations[0], **{**options, "seed": 12}).text != single[0]


def test_the_settings_of_an_answer_have_the_seed_that_repeats_it(chat):
    options = {"temperature": 3.0, "max_new_tokens": 25}
    answer = chat.ask("Hm?", **options)
    assert answer.settings.seed is not None
    assert chat.ask("Hm?", seed=answer.settings.seed, **options).text == answer.text


def test_logits_are_computed_at_sampled_rows_only(chat, photo):
    rows = []
    handle = chat.model.lm_head.register_forward_hook(lambda module, args, out: rows.append(out.shape[0]))
    try:
        chat.batch([user("Greet"), user("Where?", photo)], max_new_tokens=3)
    finally:
        handle.remove()
    assert rows == [2, 2, 2]


def test_a_conversation_may_end_with_the_result_of_an_action(chat):
    messages = [*user("Greet"), {"role": "assistant", "content": "call"}, {"role": "function", "content": "done"}]
    answer = chat.chat(messages, max_new_tokens=4)
    assert answer.usage.prompt_tokens > chat.processor(user("Greet")).num_tokens


def test_a_reply_ends_at_the_limit_and_at_the_context(chat):
    answer = chat.ask("Loop", max_new_tokens=5)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 5)
    answer = chat.ask("Loop " * 150, max_new_tokens=5000, detect_repetition=False)
    assert answer.settings.max_new_tokens == 1024 - answer.usage.prompt_tokens


def test_a_prompt_over_the_context_names_both_lengths_before_the_model_runs(chat):
    ran = []
    handle = chat.model.register_forward_pre_hook(lambda *args: ran.append(1))
    messages = user("word " * 600)
    length = chat.processor(messages).num_tokens
    try:
        with pytest.raises(LengthError, match=rf"{length} tokens but the context holds 1024"):
            chat.stream(messages)
        with pytest.raises(LengthError, match="conversation 1: the prompt has"):
            chat.batch([user("Greet"), messages])
    finally:
        handle.remove()
    assert not ran


def test_a_loop_ends_with_the_reason_repetition(chat):
    answer = chat.ask("Loop", max_new_tokens=900)
    assert answer.finish_reason == "repetition"
    assert 256 <= answer.usage.completion_tokens < 400
    assert chat.ask("Loop", max_new_tokens=400, detect_repetition=False).finish_reason == "length"


def test_a_reply_ends_before_a_stop_text(chat):
    answer = chat.ask("Greet", stop="END")
    assert (answer.text, answer.finish_reason) == ("Good day, dear world. ", "stop")
    assert chat.ask("Greet", stop=["nothing", "ay, de"]).text == "Good d"


def test_end_tokens_come_from_the_generation_config(chat, taught_directory, tmp_path):
    tokenizer = chat.processor.tokenizer
    assert load_end_ids(tmp_path, tokenizer) == (2, 0)
    assert load_end_ids(taught_directory, tokenizer) == (2, 0)
    file = tmp_path / "generation_config.json"
    comma = tokenizer.encode("d,")[1]
    file.write_text(f'{{"eos_token_id": [2, {comma}], "temperature": 0.01, "repetition_penalty": 1.05}}')
    ends = load_end_ids(tmp_path, tokenizer)
    assert ends == (2, comma)
    answer = Chat.from_parts(chat.model, chat.processor, ends).ask("Greet")
    assert (answer.text, answer.finish_reason) == ("Good day", "stop")
    assert answer.settings.repetition_penalty == 1.0
    for bad in ('"x"', "[]", "[99999]", "-1", "true"):
        file.write_text(f'{{"eos_token_id": {bad}}}')
        with pytest.raises(ConfigError, match="eos_token_id"):
            load_end_ids(tmp_path, tokenizer)


def test_a_chat_from_a_directory_has_its_own_limits(taught_directory, photo):
    chat = Chat(taught_directory, device="cpu", dtype="fp32", max_pixels=56 * 56)
    answer = chat.ask("Where?", images=[photo])
    assert answer.media_sizes[0].resized[0] * answer.media_sizes[0].resized[1] <= 56 * 56
    with pytest.raises(MediaError, match="not an allowed host"):
        chat.ask("Where?", images=["https://example.com/a.png"])
    with pytest.raises((ConfigError, CheckpointError)):
        Chat(taught_directory / "nowhere")


@pytest.fixture
def checkpoint(taught_directory, tmp_path):
    """A copy that a test can damage."""
    return shutil.copytree(taught_directory, tmp_path / "checkpoint")


@pytest.mark.parametrize("damage", ["missing", "extra", "misshapen"])
def test_the_constructor_refuses_tensors_that_do_not_fit(checkpoint, damage):
    file, name = checkpoint / "model.safetensors", "model.norm.weight"
    tensors = load_file(file)
    if damage == "missing":
        del tensors[name]
    else:
        tensors[name if damage == "misshapen" else "other"] = torch.zeros(3)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="other" if damage == "extra" else name):
        Chat(checkpoint)


def test_the_constructor_refuses_another_device_precision_or_adapter(checkpoint, tmp_path):
    for keywords, message in (({"device": "tpu"}, "device"), ({"dtype": "int3"}, "dtype")):
        with pytest.raises(ConfigError, match=message):
            Chat(checkpoint, **keywords)
    with pytest.raises(CheckpointError, match=r"has no adapter_config\.json"):
        Chat(checkpoint, adapter=tmp_path)


def test_wrong_requests_are_refused_before_any_tensor_is_read(checkpoint, photo):
    """The file of tensors is removed after the constructor has checked it, so reading one is another error."""
    chat = Chat(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    wrong = [
        ({"images": [str(checkpoint / "missing.png")]}, MediaError, "there is no file"),
        ({"images": [photo, str(checkpoint / "config.json")]}, MediaError, "supported image format"),
        ({"videos": [str(checkpoint / "missing.mp4")]}, MediaError, "there is no file"),
        ({"temperature": -1}, ConfigError, "temperature is -1"),
        ({"system": "word " * 600}, LengthError, "the context holds 1024"),
    ]
    for keywords, error, message in wrong:
        with pytest.raises(error, match=message):
            chat.ask("Where?", **keywords)
        with pytest.raises(error, match=message):
            Session(chat, keywords.pop("system", None)).ask("Where?", **keywords)
    with pytest.raises(MediaError, match="conversation 1"):
        chat.batch([user("Greet"), user("Where?", str(checkpoint / "missing.png"))])
    stream = chat.stream(user("Where?", photo))
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        next(stream)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        chat.model  # noqa: B018  the first access reads the tensors


def test_the_model_is_read_once_and_equals_the_files(checkpoint, taught_model):
    chat = Chat(checkpoint, device="cpu", dtype="fp32")
    model = chat.model
    shutil.rmtree(checkpoint)
    assert chat.ask("Greet").text == "Good day, dear world. END of it."
    assert chat.model is model
    for one, other in zip(model.parameters(), taught_model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(chat, photo, question):
    with pytest.raises(MessageError, match="question is empty"):
        chat.ask(question)
    with pytest.raises(MessageError, match="question is empty"):
        chat.ask(question, images=[photo])


IMAGE_ONLY = [
    [{"role": "user", "content": ["image"]}],
    [{"role": "system", "content": "Where is the red dot?"}, {"role": "user", "content": ["image"]}],
    [*user("Greet"), {"role": "assistant", "content": "Send it."}, {"role": "user", "content": ["image"]}],
    [{"role": "user", "content": ["image", {"type": "text", "text": " "}]}],
    [*user("Greet"), {"role": "assistant", "content": "Go on."}, {"role": "user", "content": ["video"]}],
    [{"role": "user", "content": ["image", {"type": "box", "box": [1, 2, 300, 400]}]}],
    [{"role": "user", "content": [{"type": "point", "point": [1, 2]}]}],
]


@pytest.mark.parametrize("messages", IMAGE_ONLY)
def test_an_image_or_a_place_is_a_question_without_words(chat, photo, messages):
    media = {"image": {"type": "image", "image": photo}, "video": {"type": "video", "video": [photo, photo]}}
    last = {
        "role": "user",
        "content": [media.get(part, part) if isinstance(part, str) else part for part in messages[-1]["content"]],
    }
    messages = [*messages[:-1], last]
    answer = chat.chat(messages, max_new_tokens=3)
    assert answer.usage.prompt_tokens == chat.processor(messages).num_tokens
    assert chat.batch([messages], max_new_tokens=3) == [answer]


def test_an_image_after_a_system_text_or_an_earlier_turn_needs_no_question(chat, photo):
    """The prompt then has no text part at all."""
    answer = chat.ask("", images=[photo], system="Where?", max_new_tokens=3)
    content = [{"type": "image", "image": photo}]
    messages = [{"role": "system", "content": "Where?"}, {"role": "user", "content": content}]
    assert answer == chat.chat(messages, max_new_tokens=3)
    session = Session(chat)
    session.ask("Greet", max_new_tokens=3).answer  # noqa: B018  reading it runs the stream
    assert session.ask("", [photo], max_new_tokens=3).answer.usage.visual_tokens == 15
    assert session.messages[2]["content"] == content
    with pytest.raises(MessageError, match="question is empty"):
        session.ask("")


@pytest.mark.parametrize("content", ["", [], [{"type": "text", "text": "  "}], [{"text": ""}, {"text": " "}]])
def test_a_user_turn_without_any_content_is_refused(chat, content):
    with pytest.raises(MessageError, match="question is empty: ask something in words, or show an image"):
        chat.chat([*user("Greet"), {"role": "assistant", "content": "Hello"}, {"role": "user", "content": content}])


def test_a_conversation_must_end_with_the_user(chat):
    with pytest.raises(MessageError, match="must end with a message of the"):
        chat.chat([*user("Greet"), {"role": "assistant", "content": "Hello"}])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"temprature": 1}, "unknown setting temprature: valid are max_new_tokens, temperature"),
        ({"temperature": -1}, "temperature is -1: it must be a number from 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0}, "top_p is 0: it must be a number over 0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 1.5}, "max_new_tokens is 1.5"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"stop": [""]}, "stop is"),
        ({"stop": 5}, "stop is 5"),
        ({"detect_repetition": 1}, "detect_repetition is 1"),
    ],
)
def test_wrong_settings_are_refused_with_their_name(chat, keywords, message):
    with pytest.raises(ConfigError, match=message):
        chat.ask("Greet", **keywords)
    with pytest.raises(ConfigError, match=message):
        chat.batch([user("Greet")], **keywords)


def test_arguments_of_other_types_are_refused(chat, photo):
    with pytest.raises(MessageError, match="images is of type Image: give a list"):
        chat.ask("Where?", images=photo)
    with pytest.raises(MessageError, match="videos is of type str: give a list"):
        chat.ask("Where?", videos="video.mp4")
    with pytest.raises(ConfigError, match="batch_size is 0"):
        chat.batch([user("Greet")], batch_size=0)
    with pytest.raises(MessageError, match="conversation 1: message 0"):
        chat.batch([user("Greet"), [{"role": "user", "content": "Hm?", "name": "x"}]])


def test_logits_that_are_not_numbers_are_an_error(chat, taught_processor):
    broken = copy.deepcopy(chat.model)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    with pytest.raises(Qwen2VLError, match="not numbers: load it as bf16 or fp32"):
        Chat.from_parts(broken, taught_processor).ask("Greet")
