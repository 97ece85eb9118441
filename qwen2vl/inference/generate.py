"""The generation loop, for one reply or many.

    prompts --prefill, packed rows--> logits after each prompt --choose--> new tokens --decode, one row per reply--> ...

There is no padding: a reply that has ended is left out of the next row. Logits are computed only where a token is chosen.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from qwen2vl.inference.answer import RunningReply
from qwen2vl.inference.sampling import choose
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.positions import visual_spans

MAX_PREFILL_TOKENS = 8192
"""Prompts are packed into rows of up to this many tokens, so activations do not grow with the number of prompts."""
ROOM = 256
"""Free tokens in a new or enlarged cache. Enlarging copies the cache, so it is done in large steps."""


def generate(
    model: Qwen2VL, replies: Sequence[RunningReply], cache: KVCache, vocabulary: int
) -> Iterator[tuple[int, str]]:
    """Complete all replies; yields (index of the reply, text that became certain, possibly empty) for every token.

    Sequence i of the cache belongs to reply i; tokens that it already holds are not computed again. The generator can be
    closed at any time: the replies then keep their tokens. `vocabulary` is the number of ids that can be chosen. Raises
    Qwen2VLError when the model gives values that are not numbers.
    """
    for group in prefill_groups(replies, cache):
        chosen = choose(prefill(model, replies, group, cache), [replies[i].sampler for i in group], vocabulary)
        for i, id in zip(group, chosen, strict=True):
            yield i, replies[i].accept(id)
    while running := [i for i, reply in enumerate(replies) if reply.finish_reason is None]:
        chosen = choose(decode(model, replies, running, cache), [replies[i].sampler for i in running], vocabulary)
        for i, id in zip(running, chosen, strict=True):
            yield i, replies[i].accept(id)


@torch.inference_mode()
def new_cache(model: Qwen2VL, replies: Sequence[RunningReply]) -> KVCache:
    """An empty cache with room for the prompts and the first tokens of the replies."""
    longest = max(reply.prompt.num_tokens + min(reply.settings.max_new_tokens, ROOM) for reply in replies)
    return KVCache(model.config.text, len(replies), longest, device=model.device, dtype=model.dtype)


def prefill_groups(replies: Sequence[RunningReply], cache: KVCache) -> list[list[int]]:
    """Indices of the replies, grouped into the rows in which their prompts are computed."""
    groups: list[list[int]] = []
    size = 0
    for i, reply in enumerate(replies):
        new = reply.prompt.num_tokens - cache.lengths[i]
        if groups and size + new <= MAX_PREFILL_TOKENS:
            groups[-1].append(i)
            size += new
        else:
            groups.append([i])
            size = new
    return groups


@torch.inference_mode()
def prefill(model: Qwen2VL, replies: Sequence[RunningReply], group: Sequence[int], cache: KVCache) -> Tensor:
    """Logits after the last token of each prompt, [len(group), V]."""
    longest = max(replies[i].prompt.num_tokens for i in group)
    if longest > cache.capacity:
        cache.grow(longest + ROOM)
    row = pack([tail(replies[i].prompt, cache.lengths[i], model.config) for i in group]).to(model.device)
    last = (row.segments[1:] - 1).long().to(model.device)
    return model(row, cache=cache, sequences=group, rows=last).logits


@torch.inference_mode()
def decode(model: Qwen2VL, replies: Sequence[RunningReply], running: Sequence[int], cache: KVCache) -> Tensor:
    """Logits after the newest token of each running reply, [len(running), V]."""
    longest = max(cache.lengths[i] for i in running) + 1
    if longest > cache.capacity:
        cache.grow(longest + ROOM + cache.capacity // 4)
    row = ModelInputs(
        ids=torch.tensor([replies[i].ids[-1] for i in running]),
        positions=torch.tensor([[replies[i].position for i in running]]).expand(3, -1),
        segments=torch.arange(len(running) + 1, dtype=torch.int32),
        patches=torch.zeros(0, model.config.vision.patch_dim, dtype=torch.uint8),
        grids=torch.zeros(0, 3, dtype=torch.int64),
    )
    return model(row.to(model.device), cache=cache, sequences=running).logits


def tail(prompt: ModelInputs, begin: int, config: Qwen2VLConfig) -> ModelInputs:
    """The prompt without its first `begin` tokens and their images and videos; positions are unchanged.

    `begin` must not be inside the placeholders of an image or video.
    """
    if begin == 0:
        return prompt
    spans = list(visual_spans(prompt.ids.numpy(), prompt.grids.tolist(), config))
    assert not any(first < begin < end for first, end, _ in spans), "a cut inside an image or video"
    skipped = sum(end <= begin for _, end, _ in spans)
    num_patches = int(prompt.grids[:skipped].prod(1).sum())
    return ModelInputs(
        ids=prompt.ids[begin:],
        positions=prompt.positions[:, begin:],
        segments=torch.tensor([0, prompt.num_tokens - begin], dtype=torch.int32),
        patches=prompt.patches[num_patches:],
        grids=prompt.grids[skipped:],
    )
