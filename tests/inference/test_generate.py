"""The generation loop: with a cache as without, alone as together, and the tail of a prompt."""

import numpy as np
import pytest
import torch

from qwen2vl.inference.answer import RunningReply
from qwen2vl.inference.generate import decode, generate, new_cache, prefill, prefill_groups, tail
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.spec.inputs import ModelInputs


def image_of(seed, height=84, width=112):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def prompt_of(processor, *content):
    kinds = {str: "text", np.ndarray: "image", list: "video"}
    parts = [{"type": kinds[type(part)], kinds[type(part)]: part} for part in content]
    return processor([{"role": "user", "content": parts}])


@pytest.fixture(scope="module")
def prompts(taught_processor):
    video = [image_of(seed, 56, 56) for seed in range(8)]
    return [
        prompt_of(taught_processor, "Hm, hm?"),
        prompt_of(taught_processor, image_of(1), "this?"),
        prompt_of(taught_processor, video, "and this?"),
        prompt_of(taught_processor, "between", image_of(2), "two", video, image_of(3, 56, 280), "?"),
    ]


def replies_to(chat, prompts, count=12):
    params = SamplingParams(max_new_tokens=count).effective(10_000)
    return [RunningReply(prompt, params, chat.processor.tokenizer, ()) for prompt in prompts]


def continued(prompt, ids) -> ModelInputs:
    """The prompt with the tokens of a reply at its end."""
    after = int(prompt.positions.max()) + 1 + torch.arange(len(ids))
    return ModelInputs(
        ids=torch.cat([prompt.ids, torch.tensor(ids)]),
        positions=torch.cat([prompt.positions, after.expand(3, -1)], dim=1),
        segments=torch.tensor([0, prompt.num_tokens + len(ids)], dtype=torch.int32),
        patches=prompt.patches,
        grids=prompt.grids,
    )


def test_steps_over_the_cache_equal_the_whole_row(chat, prompts):
    """Also a test of positions: for a video the largest position is on the time axis, and the reply continues after it."""
    replies = replies_to(chat, prompts)
    cache = new_cache(chat.model, replies)
    steps = [prefill(chat.model, replies, range(len(replies)), cache)]
    for _ in range(5):
        for reply, row in zip(replies, steps[-1], strict=True):
            reply.accept(int(row.argmax()))
        steps.append(decode(chat.model, replies, range(len(replies)), cache))
    for number, (reply, prompt) in enumerate(zip(replies, prompts, strict=True)):
        with torch.inference_mode():
            whole = chat.model(continued(prompt, reply.ids)).logits[prompt.num_tokens - 1 :]
        torch.testing.assert_close(torch.stack([step[number] for step in steps]), whole, atol=2e-4, rtol=0)


def test_replies_that_end_do_not_change_the_others(chat, prompts):
    alone = []
    for prompt in prompts:
        (reply,) = replies_to(chat, [prompt])
        list(generate(chat.model, [reply], new_cache(chat.model, [reply]), chat.processor.tokenizer.size))
        alone.append(reply.ids)
    params = [SamplingParams(max_new_tokens=count) for count in (3, 12, 1, 7)]
    replies = [RunningReply(p, s, chat.processor.tokenizer, ()) for p, s in zip(prompts, params, strict=True)]
    list(generate(chat.model, replies, new_cache(chat.model, replies), chat.processor.tokenizer.size))
    assert [reply.ids for reply in replies] == [ids[:n] for ids, n in zip(alone, (3, 12, 1, 7), strict=True)]


def test_a_cache_that_is_too_small_grows(chat, prompts):
    (reply,) = replies_to(chat, prompts[:1], count=40)
    small = new_cache(chat.model, replies_to(chat, prompts[:1], count=1))
    list(generate(chat.model, [reply], small, chat.processor.tokenizer.size))
    (again,) = replies_to(chat, prompts[:1], count=40)
    list(generate(chat.model, [again], new_cache(chat.model, [again]), chat.processor.tokenizer.size))
    assert reply.ids == again.ids
    assert small.capacity > prompts[0].num_tokens + 1


def test_prompts_are_computed_in_groups_of_bounded_size(chat, prompts, monkeypatch):
    from qwen2vl.inference import generate as module

    replies = replies_to(chat, prompts)
    cache = new_cache(chat.model, replies)
    assert prefill_groups(replies, cache) == [[0, 1, 2, 3]]
    together = prefill(chat.model, replies, range(4), cache)
    monkeypatch.setattr(module, "MAX_PREFILL_TOKENS", prompts[0].num_tokens + prompts[1].num_tokens)
    cache = new_cache(chat.model, replies)
    groups = prefill_groups(replies, cache)
    assert groups[0] == [0, 1]
    assert [i for group in groups for i in group] == [0, 1, 2, 3]
    apart = torch.cat([prefill(chat.model, replies, group, cache) for group in groups])
    torch.testing.assert_close(apart, together, atol=1e-4, rtol=0)


def test_the_tail_of_a_prompt_has_only_its_own_media(chat, prompts):
    prompt, config = prompts[3], chat.model.config
    pads = ((prompt.ids == config.tokens.image_pad) | (prompt.ids == config.tokens.video_pad)).tolist()
    begin = pads.index(True)
    first_end = pads.index(False, begin)
    assert tail(prompt, 0, config) is prompt
    cut = tail(prompt, first_end, config)
    assert cut.grids.tolist() == prompt.grids[1:].tolist()
    assert torch.equal(cut.patches, prompt.patches[int(prompt.grids[0].prod()) :])
    assert torch.equal(cut.positions, prompt.positions[:, first_end:])
    with pytest.raises(AssertionError, match="inside an image"):
        tail(prompt, begin + 1, config)
    end = tail(prompt, prompt.num_tokens - 1, config)
    assert (len(end.grids), len(end.patches), end.num_tokens) == (0, 0, 1)
