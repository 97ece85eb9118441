"""Checks that every attention back-end agrees with the reference on this device, and that packing changes nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.agreement import check_exact, check_rounded
from benchmarks.peer import random_model
from benchmarks.synthetic_inputs import document, image_prompt, random_patches
from qwen2vl.model.attention import AttentionLayout, Segment, attend
from qwen2vl.model.attention.backends import choose_backend
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs, pack

EXACT_ON_GPU = 1e-4
"""Largest relative difference in fp32, with TF32 off."""
ROUNDED_ON_GPU = 0.02
"""Largest typical difference of one attention call in bf16."""


def check_all(config: Qwen2VLConfig, device: torch.device, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Every check, in fp32 and bf16. Raises Disagreement."""
    torch.backends.cuda.matmul.allow_tf32 = False
    found = list(check_backends(config, device, lengths))
    for dtype in (torch.float32, torch.bfloat16):
        found += check_packing(config, device, dtype)
    return [*found, check_devices(config, device)]


def check_backends(config: Qwen2VLConfig, device: torch.device, lengths: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Compare all back-ends with the reference: heads of tower and decoder, packed, causal, over a cache, decoding."""
    text, vision = config.text, config.vision
    shapes = {
        "tower": (vision.num_heads, vision.num_heads, vision.head_dim),
        "decoder": (text.num_attention_heads, text.num_key_value_heads, text.head_dim),
    }
    for part, (heads, kv_heads, size) in shapes.items():
        for kind, (layout, queries, keys) in layouts(part, lengths, device).items():
            for dtype in (torch.float32, torch.bfloat16):
                generator = torch.Generator(device=device).manual_seed(0)
                q, k, v = (
                    torch.randn(rows, count, size, generator=generator, device=device).to(dtype)
                    for rows, count in ((queries, heads), (keys, kv_heads), (keys, kv_heads))
                )
                expected = attend(q.float(), k.float(), v.float(), layout, backend="reference")
                # The two general back-ends run every row, the others only rows for which they are chosen.
                for backend in dict.fromkeys(("reference", "sdpa", choose_backend(q, layout))):
                    what = f"{part}, {kind}, {backend}, {str(dtype).removeprefix('torch.')}"
                    yield judge(what, attend(q, k, v, layout, backend=backend), expected, dtype)


def layouts(part: str, lengths: Sequence[int], device: torch.device) -> dict[str, tuple[AttentionLayout, int, int]]:
    """Attention layouts of every kind, with their numbers of query and key rows."""
    ends = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    total = ends[-1]
    if part == "tower":
        return {"packed": (AttentionLayout.packed(ends, causal=False, device=device), total, total)}
    room = max(lengths) + 1
    steps = [Segment(query_start=i, queries=1, key_start=i * room, keys=n + 1) for i, n in enumerate(lengths)]
    chunk = max(2, lengths[0] // 2)
    over_cache = [Segment(query_start=0, queries=chunk, key_start=0, keys=lengths[0])]
    return {
        "packed": (AttentionLayout.packed(ends, causal=True, device=device), total, total),
        "decoding": (AttentionLayout.of(steps, causal=True, device=device), len(lengths), len(lengths) * room),
        "prompt over a cache": (AttentionLayout.of(over_cache, causal=True, device=device), chunk, lengths[0]),
    }


@torch.inference_mode()
def check_packing(config: Qwen2VLConfig, device: torch.device, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Check that documents and images packed in one row give the same as one by one, in the tower and the whole model."""
    model = random_model(config, dtype, device)
    grids = [(1, 4, 6), (1, 8, 4), (2, 4, 4), (1, 4, 6)]
    patches = random_patches(grids, config.vision.patch_dim)
    name = str(dtype).removeprefix("torch.")
    ends = [0]
    for t, h, w in grids:
        ends.append(ends[-1] + t * h * w)
    single = [
        model.visual(patches[a:b].to(device), torch.tensor([grid]))
        for a, b, grid in zip(ends[:-1], ends[1:], grids, strict=True)
    ]
    packed = model.visual(patches.to(device), torch.tensor(grids))
    rows = [image_prompt(config, grid, 3 + i, seed=i) for i, grid in enumerate(grids[:2])]
    rows.append(document(config, rows[0].ids[:3].numpy(), [], patches[:0]))
    return [
        judge(f"tower packed, {name}", packed, torch.cat(single), dtype),
        judge(f"decoder packed, {name}", *both_ways(model, rows, device), dtype),
    ]


def both_ways(model: Qwen2VL, rows: Sequence[ModelInputs], device: torch.device) -> tuple[Tensor, Tensor]:
    one_by_one = [model(row.to(device)).logits for row in rows]
    return model(pack(list(rows)).to(device)).logits, torch.cat(one_by_one)


@torch.inference_mode()
def check_devices(config: Qwen2VLConfig, device: torch.device) -> dict[str, Any]:
    """Compare this device with the CPU: the same weights and prompt, in fp32."""
    model = random_model(config, torch.float32)
    prompt = image_prompt(config, (1, 8, 6), 5)
    expected = model(prompt).logits
    found = model.to(device)(prompt.to(device)).logits
    return check_exact("whole model, this device and CPU, float32", found, expected, EXACT_ON_GPU * 10)


def judge(what: str, ours: Tensor, expected: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    check: Callable[..., dict[str, Any]] = check_exact if dtype == torch.float32 else check_rounded
    return check(what, ours, expected, EXACT_ON_GPU if dtype == torch.float32 else ROUNDED_ON_GPU)
