import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from qwen2vl.common.errors import ConfigError, MediaError, MessageError
from qwen2vl.processing.images import patchify
from qwen2vl.processing.processor import Processor, load_processor
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.positions import mrope_positions
from qwen2vl.spec.tokens import IM_END, SPECIAL_TOKENS


def make_image(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def ask(*media, question="What is it?", **options):
    parts = [{"type": "image" if isinstance(item, Image.Image) else "video", **options} for item in media]
    for part, item in zip(parts, media, strict=True):
        part[part["type"]] = item
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


VIDEO = [make_image(56, 56, seed) for seed in range(4)]


def same(a, b):
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a) if f.name != "labels")


def test_inputs_have_the_documented_types_and_shapes(processor):
    inputs = processor(ask(make_image(112, 56), VIDEO))
    num_patches = 4 * 8 + 2 * 4 * 4
    num_tokens = len(inputs.ids)
    assert (inputs.ids.dtype, inputs.positions.dtype, inputs.grids.dtype) == (torch.int64,) * 3
    assert (inputs.segments.dtype, inputs.patches.dtype) == (torch.int32, torch.uint8)
    assert inputs.positions.shape == (3, num_tokens) and inputs.segments.tolist() == [0, num_tokens]
    assert inputs.patches.shape == (num_patches, 1176) and inputs.grids[0].tolist() == [1, 4, 8]
    assert inputs.labels is None


def test_without_media_there_are_no_patches(processor):
    inputs = processor([{"role": "user", "content": "How?"}])
    assert (inputs.patches.shape, inputs.patches.dtype) == ((0, 1176), torch.uint8)
    assert (inputs.grids.shape, inputs.grids.dtype) == ((0, 3), torch.int64)


def test_images_and_videos_are_one_list_in_textual_order(processor):
    first, second = make_image(56, 84, 1), make_image(84, 56, 2)
    prepared = processor.prepare(ask(first, VIDEO, second))
    assert [info.kind for info in prepared.media] == ["image", "video", "image"]
    assert prepared.inputs.grids.tolist() == [list(info.grid) for info in prepared.media]
    assert (prepared.inputs.patches[:24].numpy() == patchify(np.asarray(first)[None])).all()
    assert (prepared.inputs.patches[-24:].numpy() == patchify(np.asarray(second)[None])).all()


def test_positions_follow_the_rule_of_the_paper(processor):
    inputs = processor(ask(make_image(112, 56), VIDEO))
    assert (inputs.positions.numpy() == mrope_positions(inputs.ids.numpy(), inputs.grids.numpy(), NANO)).all()


def test_sizes_and_tokens_of_media_are_reported(processor):
    prepared = processor.prepare(ask(make_image(100, 60), VIDEO))
    image, video = prepared.media
    assert (image.original_size, image.resized, image.grid, image.num_tokens) == ((100, 60), (112, 56), (1, 4, 8), 8)
    assert (image.num_frames, image.timestamps_s) == (1, ())
    assert (video.kind, video.original_size, video.num_frames, len(video.timestamps_s)) == ("video", (56, 56), 4, 4)
    pads = np.isin(prepared.inputs.ids, (NANO.tokens.image_pad, NANO.tokens.video_pad))
    assert pads.sum() == image.num_tokens + video.num_tokens


def test_digests_depend_on_pixels_and_shapes(processor):
    def digest(image):
        return processor.prepare(ask(image)).media[0].digest

    assert digest(make_image(56, 56)) == digest(make_image(56, 56)) != digest(make_image(56, 56, 1))
    flat, tall = (Image.new("RGB", size) for size in ((112, 56), (56, 112)))
    assert digest(flat) != digest(tall)
    assert processor.prepare(ask(flat), with_digests=False).media[0].digest == ""
    assert len(digest(flat)) == len(hashlib.sha256().hexdigest())


def test_limits_of_one_image_replace_those_of_the_processor(processor):
    small = processor.prepare(ask(make_image(280, 280), max_pixels=4 * 784)).media[0]
    large = processor.prepare(ask(make_image(56, 56), min_pixels=16 * 784)).media[0]
    fixed = processor.prepare(ask(make_image(56, 56), resized_height=84, resized_width=140)).media[0]
    assert (small.resized, large.resized, fixed.resized) == ((56, 56), (112, 112), (140, 84))


def test_a_list_of_conversations_is_one_packed_row(processor):
    one, two = ask(make_image(56, 56)), ask(VIDEO, question="Which came first?")
    packed, rows = processor([one, two]), [processor(one), processor(two)]
    assert packed.segments.tolist() == [0, len(rows[0].ids), len(rows[0].ids) + len(rows[1].ids)]
    assert torch.equal(packed.patches, torch.cat([row.patches for row in rows]))
    assert torch.equal(packed.positions, torch.cat([row.positions for row in rows], dim=1))
    assert same(processor([one]), rows[0])


def test_labels_are_the_ids_of_the_reply(processor):
    turns = [*ask(make_image(56, 56)), {"role": "assistant", "content": "A red circle."}]
    inputs = processor(turns, add_generation_prompt=False, with_labels=True)
    kept = inputs.labels[inputs.labels >= 0].tolist()
    assert processor.tokenizer.decode(kept, keep_special=SPECIAL_TOKENS) == f"A red circle.{IM_END}"
    assert inputs.labels.shape == inputs.ids.shape
    assert processor([turns, turns], with_labels=True).labels.shape == processor([turns, turns]).ids.shape


def test_images_are_numbered_on_request(processor):
    ids = processor(ask(make_image(56, 56), make_image(56, 56)), add_vision_id=True).ids.tolist()
    text = processor.tokenizer.decode(ids)
    assert "Picture 1: " in text and "Picture 2: " in text


def test_decoded_answers_contain_boxes_but_no_end_tokens(processor):
    special = processor.tokenizer.special
    coordinates = processor.tokenizer.encode("(1,2),(3,4)")
    ids = [special("<|box_start|>"), *coordinates, special("<|box_end|>"), special(IM_END)]
    assert processor.decode_answer(ids) == "<|box_start|>(1,2),(3,4)<|box_end|>"


@pytest.mark.parametrize("messages", [[], [[]], "Hi", None, 3])
def test_malformed_conversations_are_refused(processor, messages):
    with pytest.raises(MessageError):
        processor(messages)


def test_unreadable_images_are_refused(processor, tmp_path):
    with pytest.raises(MediaError, match="missing.png"):
        processor([{"role": "user", "content": [{"type": "image", "image": str(tmp_path / "missing.png")}]}])


def test_tokenizer_and_config_of_different_checkpoints_are_refused(tokenizer):
    with pytest.raises(ConfigError, match="same checkpoint"):
        Processor(tokenizer, Qwen2VLConfig.named("2b"))
    small = dataclasses.replace(NANO, text=dataclasses.replace(NANO.text, vocab_size=tokenizer.size - 1))
    with pytest.raises(ConfigError, match=f"tokenizer has {tokenizer.size} ids"):
        Processor(tokenizer, small)


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    mean, std = NANO.vision.image_mean, NANO.vision.image_std
    limits = MediaSettings(min_pixels=784, max_pixels=64 * 784, fps=4.0, image_mean=mean, image_std=std)
    Processor(tokenizer, NANO, limits).save(folder)
    (folder / "config.json").write_text(json.dumps(NANO.to_hub()))
    return folder


def test_a_saved_processor_loads_with_equal_results(processor, saved):
    again = load_processor(saved)
    assert (again.settings.min_pixels, again.settings.max_pixels, again.settings.fps) == (784, 64 * 784, 4.0)
    assert again.config == NANO
    assert same(again(ask(make_image(84, 56))), processor(ask(make_image(84, 56))))


def test_the_cap_of_videos_can_be_given_when_loading(saved):
    frames = [make_image(280, 280)] * 8
    asked = [{"role": "user", "content": [{"type": "video", "video": frames}, {"type": "text", "text": "What?"}]}]
    own, capped = (load_processor(saved, max_tokens=tokens).prepare(asked).media[0] for tokens in (None, 40))
    assert own.num_tokens > 400
    assert 20 < capped.num_tokens <= 40
    part = {"type": "video", "video": frames, "max_tokens": 100}
    raised = load_processor(saved, max_tokens=40).prepare([{"role": "user", "content": [part]}]).media[0]
    assert 40 < raised.num_tokens <= 100


def test_limits_can_be_given_when_loading(saved):
    limited = load_processor(saved, max_pixels=4 * 784)
    assert limited.prepare(ask(make_image(280, 280))).media[0].resized == (56, 56)


def test_transformers_loads_tokenizer_template_and_image_processor(processor, saved):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    images = transformers.Qwen2VLImageProcessorPil.from_pretrained(saved)
    image = make_image(100, 60)
    pixels = images(images=[image], return_tensors="pt")
    ours = load_processor(saved)(ask(image))
    mean, std = (torch.tensor(values)[:, None] for values in (NANO.vision.image_mean, NANO.vision.image_std))
    normalised = (ours.patches.reshape(-1, 3, 392).float() / 255 - mean) / std
    assert pixels["image_grid_thw"].tolist() == ours.grids.tolist()
    assert (pixels["pixel_values"] - normalised.reshape(-1, 1176)).abs().max() < 1 / 255
    text = tokenizer.apply_chat_template(ask(image), tokenize=False, add_generation_prompt=True)
    text = text.replace("<|image_pad|>", "<|image_pad|>" * 8)
    assert tokenizer(text)["input_ids"] == ours.ids.tolist()
