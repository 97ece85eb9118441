"""Every back-end equals the reference: for any segments and head ratios, packed or cached, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.model.attention import AttentionLayout, Segment, attend, backends
from qwen2vl.model.attention import layout as layouts
from tests.model.attention.conftest import CPU, packed, rows

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=7)
HEADS = st.sampled_from([(1, 1), (2, 2), (4, 2), (6, 2), (4, 1)])


@settings(deadline=None, max_examples=80)
@given(lengths=LENGTHS, heads=HEADS, causal=st.booleans())
def test_packed_segments_equal_the_reference_in_inference(
    lengths: list[int], heads: tuple[int, int], causal: bool
) -> None:
    if sum(lengths) == 0:
        lengths = [3]
    layout, total = packed(lengths, causal), sum(lengths)
    q, k, v = rows(total, heads[0], 1), rows(total, heads[1], 2), rows(total, heads[1], 3)
    with torch.inference_mode():
        torch.testing.assert_close(attend(q, k, v, layout), attend(q, k, v, layout, "reference"), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("longest", [0, 512])  # the fused kernel's gradients, and those of the kept weights
@settings(deadline=None, max_examples=40)
@given(lengths=LENGTHS, heads=HEADS, causal=st.booleans())
def test_packed_segments_equal_the_reference_in_training(
    longest: int, lengths: list[int], heads: tuple[int, int], causal: bool
) -> None:
    if sum(lengths) == 0:
        lengths = [3]
    total, results = sum(lengths), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "LONGEST_KEPT", longest)
        layouts._packed.cache_clear()
        layout = packed(lengths, causal)
        for backend in ("reference", "packed"):
            inputs = rows(total, heads[0], 1, True), rows(total, heads[1], 2, True), rows(total, heads[1], 3, True)
            out = attend(*inputs, layout, backend)
            results.append((out.detach(), *torch.autograd.grad((out * rows(total, heads[0], 4)).sum(), inputs)))
    layouts._packed.cache_clear()
    for reference, other in zip(results[0], results[1], strict=True):
        torch.testing.assert_close(other, reference, atol=5e-6, rtol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_long_segments_equal_the_reference_in_bf16_training(causal: bool) -> None:
    layout, total = packed([600, 20], causal), 620
    results = []
    for backend in ("reference", "packed"):
        inputs = [rows(total, 2, seed).bfloat16().requires_grad_() for seed in (1, 2, 3)]
        out = attend(*inputs, layout, backend)
        results.append((out.detach(), *torch.autograd.grad((out * rows(total, 2, 4)).sum(), inputs)))
    for reference, other in zip(results[0], results[1], strict=True):
        torch.testing.assert_close(other, reference, atol=3e-2, rtol=3e-2)


@pytest.mark.parametrize("lengths", [[40, 33], [2500]])  # with padding and its mask; with scores in several pieces
def test_frames_equal_the_reference_in_bf16_inference(lengths: list[int]) -> None:
    layout, total = packed(lengths, causal=False), sum(lengths)
    q, k, v = (rows(total, 2, seed).bfloat16() for seed in (1, 2, 3))
    assert len(layout.buckets) == 1
    with torch.inference_mode():
        exact = attend(q.float(), k.float(), v.float(), layout, "reference")
        torch.testing.assert_close(attend(q, k, v, layout).float(), exact, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(("length", "is_kept"), [(512, True), (513, False)])
def test_training_keeps_softmax_weights_up_to_a_length_only(length: int, is_kept: bool) -> None:
    inputs = [rows(length, 2, seed).requires_grad_() for seed in (1, 2, 3)]
    kept: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attend(*inputs, packed([length], causal=True))
    assert max(kept) == (2 * length * length if is_kept else 2 * length * 8)


@settings(deadline=None, max_examples=80)
@given(
    sequences=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=5),
    heads=HEADS,
    order=st.randoms(use_true_random=False),
    gap=st.integers(0, 3),
)
def test_cached_sequences_equal_the_reference(
    sequences: list[tuple[int, int]], heads: tuple[int, int], order: object, gap: int
) -> None:
    """Sequences of (past, new) tokens, at least one of them new, in any order in a pool with gaps."""
    capacity = max(past + new for past, new in sequences) + gap
    places = list(range(len(sequences)))
    order.shuffle(places)  # type: ignore[attr-defined]
    segments, row = [], 0
    for place, (past, new) in zip(places, sequences, strict=True):
        segments.append(Segment(query_start=row, queries=new, key_start=place * capacity, keys=past + new))
        row += new
    layout = AttentionLayout.of(segments, causal=True, device=CPU)
    pool = len(sequences) * capacity
    q, k, v = rows(row, heads[0], 1), rows(pool, heads[1], 2), rows(pool, heads[1], 3)
    with torch.inference_mode():
        torch.testing.assert_close(attend(q, k, v, layout), attend(q, k, v, layout, "reference"), atol=2e-6, rtol=1e-5)


def test_reference_is_softmax_attention() -> None:
    q, k, v = rows(5, 1, 1), rows(5, 1, 2), rows(5, 1, 3)
    weights = torch.softmax((q[:, 0] @ k[:, 0].T) / 8**0.5, -1)
    out = attend(q, k, v, packed([5], causal=False), "reference")
    torch.testing.assert_close(out[:, 0], weights @ v[:, 0])


def test_causal_rows_do_not_depend_on_later_ones() -> None:
    layout = packed([4, 4], causal=True)
    q, k, v = rows(8, 2, 1), rows(8, 2, 2), rows(8, 2, 3)
    before = attend(q, k, v, layout)
    k, v = k.clone(), v.clone()
    k[2:4], v[2:4] = 7.0, -7.0
    after = attend(q, k, v, layout)
    assert torch.equal(before[[0, 1, 4, 5, 6, 7]], after[[0, 1, 4, 5, 6, 7]])
    assert not torch.allclose(before[2:4], after[2:4])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length flash attention needs a CUDA device")
@pytest.mark.parametrize("causal", [False, True])
def test_variable_length_attention_equals_the_reference_on_a_gpu(causal: bool) -> None:
    device = torch.device("cuda")
    layout = AttentionLayout.packed([0, 5, 70, 71, 200], causal=causal, device=device)
    q, k, v = (rows(200, heads, seed).to(device, torch.bfloat16) for heads, seed in ((4, 1), (2, 2), (2, 3)))
    assert backends.choose_backend(q, layout) == "varlen"
    torch.testing.assert_close(attend(q, k, v, layout), attend(q, k, v, layout, "reference"), atol=2e-2, rtol=2e-2)


def test_a_cpu_never_chooses_the_back_end_for_gpus() -> None:
    assert backends.choose_backend(rows(8, 2, 1).bfloat16(), packed([8], causal=True)) == "packed"
    with torch.no_grad():
        assert backends.choose_backend(rows(8, 2, 1).bfloat16(), packed([8], causal=True)) == "sdpa"
