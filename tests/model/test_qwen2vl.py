"""The whole model: packing, caching and order do not change answers; sizes, precision and gradients are right."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters
from qwen2vl.spec.inputs import ModelInputs, pack

Make = Callable[..., ModelInputs]

DOCUMENTS = [[7], [3, (1, 4, 6), 4], [(3, 2, 4), 2, (1, 2, 2), 5, (1, 6, 4), 1], [12, (2, 4, 4), 3]]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def logits(model: Qwen2VL, inputs: ModelInputs) -> torch.Tensor:
    with torch.inference_mode():
        return model(inputs).logits


def part(inputs: ModelInputs, begin: int, end: int, *, media: bool) -> ModelInputs:
    """Tokens begin..end of a document, with its media or without."""
    none = 0 if not media else None
    return replace(
        inputs,
        ids=inputs.ids[begin:end],
        positions=inputs.positions[:, begin:end],
        segments=torch.tensor([0, end - begin], dtype=torch.int32),
        patches=inputs.patches[:none],
        grids=inputs.grids[:none],
    )


def test_documents_in_one_row_equal_documents_one_by_one(model: Qwen2VL, make_row: Make) -> None:
    documents = [make_row(parts, seed) for seed, parts in enumerate(DOCUMENTS)]
    close(logits(model, pack(documents)), torch.cat([logits(model, document) for document in documents]))


def test_order_in_the_row_does_not_matter(model: Qwen2VL, make_row: Make) -> None:
    documents = [make_row(parts, seed) for seed, parts in enumerate(DOCUMENTS)]
    forward = logits(model, pack(documents)).split([d.num_tokens for d in documents])
    backward = logits(model, pack(documents[::-1])).split([d.num_tokens for d in documents[::-1]])
    for one, other in zip(forward, backward[::-1], strict=True):
        close(one, other)


def test_documents_see_their_own_media_and_not_each_other(model: Qwen2VL, make_row: Make) -> None:
    first, second = make_row([5, (1, 4, 4), 3], 1), make_row([4, (1, 4, 4), 2], 2)
    row = pack([first, second])
    changed = replace(row, patches=torch.cat([255 - row.patches[:16], row.patches[16:]]))
    before, after = logits(model, row), logits(model, changed)
    begin = int((first.ids == 12).nonzero()[0])
    assert torch.equal(before[:begin], after[:begin]), "tokens before the image"
    assert (before[begin : first.num_tokens] - after[begin : first.num_tokens]).abs().amax(1).min() > 1e-3
    close(before[first.num_tokens :], after[first.num_tokens :])


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 9), max_size=3), seed=st.integers(0, 3))
def test_prompt_in_pieces_equals_the_whole(model: Qwen2VL, make_row: Make, cuts: list[int], seed: int) -> None:
    """The first piece holds an image; then come text pieces of any size, and the last tokens one at a time."""
    document = make_row([3, (1, 4, 4), 12], seed)
    whole, total = logits(model, document), document.num_tokens
    cache = KVCache(model.config.text, 1, total, device=model.device, dtype=model.dtype)
    bounds = [0, 9]
    for cut in cuts:
        bounds.append(min(bounds[-1] + cut, total))
    bounds = sorted({*bounds, *range(bounds[-1], total + 1)})
    with torch.inference_mode():
        pieces = [model(part(document, a, b, media=a == 0), cache=cache).logits for a, b in itertools.pairwise(bounds)]
    close(torch.cat(pieces), whole)


def test_several_cached_sequences_equal_the_whole(model: Qwen2VL, make_row: Make) -> None:
    """Prompts of different lengths, steps of all and of some sequences in any order, growth, a longer piece."""
    documents = [make_row([*parts, 9], seed) for seed, parts in enumerate(DOCUMENTS)]
    whole = [logits(model, document) for document in documents]
    prompts = [document.num_tokens - 9 for document in documents]
    cache = KVCache(model.config.text, 4, max(prompts) + 2, device=model.device, dtype=model.dtype)
    found: list[list[torch.Tensor]] = [[] for _ in documents]
    done = [0] * len(documents)

    def step(sequences: list[int], counts: list[int]) -> None:
        pieces = [
            part(documents[s], done[s], done[s] + n, media=done[s] == 0) for s, n in zip(sequences, counts, strict=True)
        ]
        with torch.inference_mode():
            out = model(pack(pieces), cache=cache, sequences=sequences).logits
        for s, n, piece in zip(sequences, counts, out.split(counts), strict=True):
            found[s].append(piece)
            done[s] += n

    step([0, 1, 2, 3], prompts)
    step([0, 1, 2, 3], [1, 1, 1, 1])
    step([3, 1], [1, 1])
    cache.grow(60)
    step([2, 0, 3], [1, 1, 1])
    step([1], [7])
    step([0, 2, 3], [4, 1, 3])
    step([2], [6])
    for sequence, expected in enumerate(whole):
        got = torch.cat(found[sequence])
        close(got, expected[: len(got)])
    assert done[1] == documents[1].num_tokens
    assert done[2] == documents[2].num_tokens


def test_a_truncated_cache_continues_with_other_tokens(model: Qwen2VL, make_row: Make) -> None:
    document = make_row([10], 5)
    other = replace(document, ids=torch.cat([document.ids[:6], document.ids[6:] + 1]))
    cache = KVCache(model.config.text, 1, 10, device=model.device, dtype=model.dtype)
    with torch.inference_mode():
        model(document, cache=cache)
        cache.truncate(0, 6)
        again = model(part(other, 6, 10, media=False), cache=cache).logits
    close(again, logits(model, other)[6:])


def test_logits_are_computed_for_the_requested_rows_only(model: Qwen2VL, make_row: Make) -> None:
    document = make_row([3, (1, 4, 4), 6])
    rows = torch.tensor([2, document.num_tokens - 1])
    with torch.inference_mode():
        output = model(document, rows=rows)
    assert output.logits.shape == (2, 300)
    assert output.logits.dtype == torch.float32
    close(output.logits, logits(model, document)[rows])


@pytest.mark.parametrize(
    ("size", "tower", "merger", "total"),
    [
        ("2b", 631_183_360, 34_087_936, 2_208_985_600),
        ("7b", 631_183_360, 44_575_744, 8_291_375_616),
        ("72b", 631_183_360, 68_173_312, 73_405_560_320),
    ],
)
def test_parameter_counts_are_the_published_ones(size: str, tower: int, merger: int, total: int) -> None:
    config = Qwen2VLConfig.named(size)
    with torch.device("meta"):
        model = Qwen2VL(config)
    counts = {name: p.numel() for name, p in model.named_parameters()}
    in_merger = sum(n for name, n in counts.items() if name.startswith("visual.merger."))
    in_tower = sum(n for name, n in counts.items() if name.startswith("visual.")) - in_merger
    decoder = total - tower - merger
    assert (in_tower, in_merger, sum(counts.values())) == (tower, merger, total)
    assert num_parameters(config) == {"tower": tower, "merger": merger, "decoder": decoder, "total": total}
    assert len(counts) == {"2b": 729, "7b": 730, "72b": 1354}[size]


def test_parameter_counts_agree_with_the_formula(tied: Qwen2VLConfig) -> None:
    for config in (tied, Qwen2VLConfig.named("nano")):
        with torch.device("meta"):
            model = Qwen2VL(config)
        assert num_parameters(config)["total"] == sum(p.numel() for p in model.parameters())


def test_tied_head_is_the_embedding(make_model: Callable[..., Qwen2VL], tied: Qwen2VLConfig, make_row: Make) -> None:
    model, row = make_model(tied), make_row([5])
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with torch.inference_mode():
        output = model(row)
        close(output.logits, output.hidden @ model.model.embed_tokens.weight.T)


def test_bf16_is_close_to_fp32(make_model: Callable[..., Qwen2VL], make_row: Make) -> None:
    row = make_row([3, (1, 4, 6), 20])
    exact = logits(make_model(), row)
    rounded = logits(make_model().to(torch.bfloat16), row)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()


def test_one_axis_equals_three_for_text_only(
    make_model: Callable[..., Qwen2VL], tiny: Qwen2VLConfig, make_row: Make
) -> None:
    ablation = replace(tiny, text=replace(tiny.text, rope="1d"))
    model = make_model(ablation)
    text, image = [15], [3, (1, 4, 6), 4]
    assert torch.equal(logits(model, make_row(text, config=ablation)), logits(model, make_row(text)))
    assert not torch.allclose(logits(model, make_row(image, config=ablation)), logits(model, make_row(image)))


def test_every_parameter_gets_a_gradient(make_model: Callable[..., Qwen2VL], make_row: Make) -> None:
    model = make_model()
    row = pack([make_row([3, (1, 4, 4), 4], 1), make_row([(2, 2, 4), 5], 2)])
    model(row).logits.square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
