"""Greedy replies of our Chat and of transformers from the same checkpoint directory, end to end.

transformers uses the stored template, the stored tokenizer and its own image processor. The weights are random; a
reply must hold enough different tokens for the comparison to mean something.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from qwen2vl.inference import Chat
from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.init import new_model

transformers = pytest.importorskip("transformers", minversion="5.23", reason="parity needs transformers 5.23")

LENGTH = 24


def image_of(seed, width, height):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


CONVERSATIONS = {
    "text": ["What is it? 12 of 34."],
    "one image": [image_of(1, 112, 84), "What is it?"],
    "several images": ["One", image_of(2, 56, 140), "two", image_of(3, 100, 75), image_of(4, 84, 28), "all?"],
}


@pytest.fixture(scope="module")
def directory(taught_processor, tmp_path_factory):
    """A checkpoint with large random weights everywhere."""
    model = new_model(taught_processor.config, 3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.15 + (1.0 if "norm" in name or "ln_q.weight" in name else 0.0))
    directory = tmp_path_factory.mktemp("generation") / "random"
    save_checkpoint(model, taught_processor, directory)
    return directory


@pytest.fixture(scope="module")
def chat(directory):
    return Chat(directory, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def their_answer(directory, chat):
    """A function from messages to (ids of the prompt, ids of the reply), computed by transformers alone."""
    model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(directory).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    preprocess = transformers.Qwen2VLImageProcessorPil.from_pretrained(directory)

    def answer(messages):
        images = [part["image"] for part in messages[0]["content"] if part["type"] == "image"]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        given = dict(preprocess(images, return_tensors="pt")) if images else {}
        pieces = text.split("<|image_pad|>")
        counts = [int(grid.prod()) // 4 for grid in given.get("image_grid_thw", [])]
        text = pieces[0] + "".join("<|image_pad|>" * n + rest for n, rest in zip(counts, pieces[1:], strict=True))
        ids = tokenizer(text, return_tensors="pt").input_ids
        kinds = (ids == model.config.image_token_id).int()
        size = chat.processor.tokenizer.size
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=kinds,
            max_new_tokens=LENGTH,
            do_sample=False,
            suppress_tokens=list(range(size, chat.model.config.text.vocab_size)),
            **given,
        )
        return ids[0].tolist(), out[0, ids.shape[1] :].tolist()

    return answer


def messages_of(parts):
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part} for part in parts
    ]
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_greedy_replies_are_equal(chat, their_answer, name):
    messages = messages_of(CONVERSATIONS[name])
    prompt, expected = their_answer(messages)
    assert chat.processor(messages).ids.tolist() == prompt
    answer = chat.chat(messages, max_new_tokens=LENGTH)
    assert answer.text == chat.processor.decode_answer(expected)
    assert answer.usage.completion_tokens == len(expected)
    assert len(set(expected)) > 5, "a reply of few different tokens compares little"


def test_replies_of_a_batch_are_equal(chat, their_answer):
    conversations = [messages_of(parts) for parts in CONVERSATIONS.values()]
    answers = chat.batch(conversations, max_new_tokens=LENGTH)
    for messages, answer in zip(conversations, answers, strict=True):
        assert answer.text == chat.processor.decode_answer(their_answer(messages)[1])
