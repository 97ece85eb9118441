"""Vision tower: patches of any number of images and videos, packed in one row, to tokens of the decoder [paper 2].

    patches [P, 1176] --linear--> [P, D] --blocks: attention inside each frame, MLP--> [P, D] --merge 2x2--> [P/4, H]

Module and parameter names are those of the published checkpoints.
Shape legend: P = patches, D = tower width, I = inner width of the MLP, H = decoder width, N = heads, K = head size.
"""

import numpy as np
import torch
from torch import Tensor, nn

from qwen2vl.model.attention import AttentionLayout, attend
from qwen2vl.model.rotary import RotaryTable, rotate, vision_rotary
from qwen2vl.spec.config import VisionConfig
from qwen2vl.spec.positions import patch_positions, patch_segments

EPS = 1e-6
"""Epsilon of the tower's LayerNorms, the published one; CLIP has 1e-5."""


class PatchEmbed(nn.Module):
    """One linear map per flattened patch: the same as the published 3D convolution, whose stride is its kernel size."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.proj = nn.Linear(config.patch_dim, config.embed_dim, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        if patches.dtype == torch.uint8:
            patches = self.normalise(patches)
        return self.proj(patches.to(self.proj.weight.dtype))

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [P, 1176] to (x / 255 - mean) / std per channel, float32.

        Computed on the device, because bytes reach it four times faster than floats.
        """
        std = torch.tensor(self.config.image_std, device=pixels.device)
        mean = torch.tensor(self.config.image_mean, device=pixels.device)
        scaled = pixels.unflatten(1, (self.config.in_channels, -1)) * (1 / (255 * std))[:, None]
        return (scaled - (mean / std)[:, None]).flatten(1)


class VisionAttention(nn.Module):
    """Full attention inside each frame; one projection makes q, k and v, in this order [paper 2.5]."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x_PD: Tensor, rope: RotaryTable, layout: AttentionLayout) -> Tensor:
        q_PNK, k_PNK, v_PNK = self.qkv(x_PD).unflatten(1, (3, self.num_heads, -1)).unbind(1)
        out_PNK = attend(rotate(q_PNK, rope), rotate(k_PNK, rope), v_PNK, layout)
        return self.proj(out_PNK.flatten(1))


class VisionMLP(nn.Module):
    """Two projections with bias, and between them QuickGELU, x * sigmoid(1.702 x), as in CLIP [paper 2.6]."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x_PD: Tensor) -> Tensor:
        x_PI = self.fc1(x_PD)
        if torch.is_grad_enabled():
            return self.fc2(x_PI * torch.sigmoid(1.702 * x_PI))
        # One temporary tensor, not three: each is 64 MB for 6,000 patches.
        return self.fc2((1.702 * x_PI).sigmoid_().mul_(x_PI))


class VisionBlock(nn.Module):
    """Attention, then MLP, each after a norm and added to its input."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.attn = VisionAttention(config)
        self.mlp = VisionMLP(config.embed_dim, int(config.embed_dim * config.mlp_ratio))

    def forward(self, x_PD: Tensor, rope: RotaryTable, layout: AttentionLayout) -> Tensor:
        x_PD = x_PD + self.attn(self.norm1(x_PD), rope, layout)
        return x_PD + self.mlp(self.norm2(x_PD))


class PatchMerger(nn.Module):
    """Four neighbouring patches to one token, [P, D] to [P/4, H]. In the row they follow each other already."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merged_dim = config.embed_dim * config.merge_unit
        self.ln_q = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(self.merged_dim, self.merged_dim), nn.GELU(), nn.Linear(self.merged_dim, config.hidden_size)
        )

    def forward(self, x_PD: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x_PD).view(-1, self.merged_dim))


class VisionTower(nn.Module):
    """Patches of images and videos together, in textual order, to decoder tokens [P/4, H]."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.head_dim = config.head_dim
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)

    def forward(self, patches: Tensor, grids: Tensor, max_patches: int | None = None) -> Tensor:
        """patches [P, 1176] uint8 or float and grids int64 [N, 3] to tokens [P/4, H].

        max_patches: run the tower over at most this many patches at once, to bound its memory in inference. Chunks
        are cut between frames, which never see each other, so the result does not depend on it.
        """
        bounds = patch_segments(grids.numpy())
        positions = patch_positions(grids.numpy(), self.config)
        assert bounds[-1] == len(patches), f"the grids need {bounds[-1]} patches, but there are {len(patches)}"
        chunks = [slice(0, len(bounds) - 1)] if max_patches is None else chunk_frames(bounds, max_patches)
        return torch.cat([self.run(patches, bounds[c.start : c.stop + 1], positions) for c in chunks])

    def run(self, patches: Tensor, bounds: np.ndarray, positions: np.ndarray) -> Tensor:
        """Tokens of the frames between `bounds`, boundaries in the row of all patches."""
        begin, end = int(bounds[0]), int(bounds[-1])
        rope = vision_rotary(torch.from_numpy(positions[begin:end]).to(patches.device), self.head_dim)
        layout = AttentionLayout.packed((bounds - begin).tolist(), causal=False, device=patches.device)
        with torch.set_grad_enabled(needs_graph(self.patch_embed, self.blocks)):
            x_PD = self.patch_embed(patches[begin:end])
            for block in self.blocks:
                x_PD = block(x_PD, rope, layout)
        return self.merger(x_PD)


def needs_graph(*modules: nn.Module) -> bool:
    """True if autograd must record these modules, the first ones of the model: a frozen tower runs as in inference."""
    return torch.is_grad_enabled() and any(p.requires_grad for module in modules for p in module.parameters())


def chunk_frames(bounds: np.ndarray, max_patches: int) -> list[slice]:
    """Runs of frames with at most max_patches patches together; a frame that is larger is a run by itself.

    Boundaries [0, 4, 8, 20] and 8 patches give [slice(0, 2), slice(2, 3)].
    """
    chunks, first = [], 0
    for frame in range(1, len(bounds)):
        if bounds[frame] - bounds[first] > max_patches and frame - 1 > first:
            chunks.append(slice(first, frame - 1))
            first = frame - 1
    return [*chunks, slice(first, len(bounds) - 1)]
