"""First values of the tower from a CLIP image tower, as the paper takes them from DFN's ViT-H/14 [paper 2.8].

    here                          transformers                                  open_clip
    patch_embed.proj              embeddings.patch_embedding                    conv1
    blocks.N.norm1, norm2         encoder.layers.N.layer_norm1, layer_norm2     transformer.resblocks.N.ln_1, ln_2
    blocks.N.attn.qkv             ... .self_attn.q_proj, k_proj, v_proj         ... .attn.in_proj_
    blocks.N.attn.proj            ... .self_attn.out_proj                       ... .attn.out_proj
    blocks.N.mlp.fc1, fc2         ... .mlp.fc1, fc2                             ... .mlp.c_fc, c_proj

Position table, class token, norms before and after the blocks and projection have no place here: rotary positions and
the merger do their work. The merger keeps the values it has.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint.names import PATCH_KERNEL, Shape, refuse
from qwen2vl.model.checkpoint.tensor_files import list_file, list_tensors, read_tensor
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import VisionConfig
from qwen2vl.spec.hub_config import read_json, read_preprocessor

OPEN_CLIP_FILE, OPEN_CLIP_CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What a layout calls the tensors of its tower; every name but the projection's is behind a prefix."""

    prefixes: tuple[str, ...]
    kernel: str
    blocks: str
    parts: Mapping[str, tuple[str, ...]]
    """Of a block: our name, and theirs, which are stacked in this order; {} stands for weight or bias."""
    dropped: frozenset[str]
    projection: str
    described: Callable[[Path], dict[str, Any]]
    """What the directory's config says of the tower, in the terms of `refuse_another_tower`."""


def transformers_config(folder: Path) -> dict[str, Any]:
    """Of a whole CLIP, or of a tower saved alone; fields left out have the library's own values."""
    raw = read_json(folder / "config.json")
    vision = raw.get("vision_config") or raw
    pixels = read_preprocessor(folder, "image")
    return {
        "width": vision.get("hidden_size", 768),
        "depth": vision.get("num_hidden_layers", 12),
        "patch size": vision.get("patch_size", 32),
        "head width": vision.get("hidden_size", 768) // vision.get("num_attention_heads", 12),
        "activation": vision.get("hidden_act", "quick_gelu"),
        **{f"pixel {key}": pixels[f"image_{key}"] for key in ("mean", "std") if f"image_{key}" in pixels},
    }


def open_clip_config(folder: Path) -> dict[str, Any]:
    """The same of a directory written by open_clip, whose plain GELU needs no mention."""
    raw = read_json(folder / OPEN_CLIP_CONFIG)
    config, pixels = raw.get("model_cfg") or {}, raw.get("preprocess_cfg") or {}
    vision = config.get("vision_cfg") or {}
    return {
        "width": vision.get("width", 768),
        "depth": vision.get("layers", 12),
        "patch size": vision.get("patch_size", 16),
        "head width": vision.get("head_width", 64),
        "activation": "quick_gelu" if config.get("quick_gelu") else "gelu",
        **{f"pixel {key}": pixels[key] for key in ("mean", "std") if key in pixels},
    }


TRANSFORMERS = Naming(
    prefixes=("vision_model.", ""),  # a tower saved alone by transformers >= 5 has none
    kernel="embeddings.patch_embedding.weight",
    blocks="encoder.layers",
    parts={
        "norm1.{}": ("layer_norm1.{}",),
        "norm2.{}": ("layer_norm2.{}",),
        "attn.qkv.{}": ("self_attn.q_proj.{}", "self_attn.k_proj.{}", "self_attn.v_proj.{}"),
        "attn.proj.{}": ("self_attn.out_proj.{}",),
        "mlp.fc1.{}": ("mlp.fc1.{}",),
        "mlp.fc2.{}": ("mlp.fc2.{}",),
    },
    dropped=frozenset(
        {
            "embeddings.class_embedding", "embeddings.position_embedding.weight", "embeddings.position_ids",
            "pre_layrnorm.weight", "pre_layrnorm.bias", "post_layernorm.weight", "post_layernorm.bias",
        }
    ),
    projection="visual_projection.weight",
    described=transformers_config,
)  # fmt: skip
OPEN_CLIP = Naming(
    prefixes=("visual.",),
    kernel="conv1.weight",
    blocks="transformer.resblocks",
    parts={
        "norm1.{}": ("ln_1.{}",),
        "norm2.{}": ("ln_2.{}",),
        "attn.qkv.{}": ("attn.in_proj_{}",),
        "attn.proj.{}": ("attn.out_proj.{}",),
        "mlp.fc1.{}": ("mlp.c_fc.{}",),
        "mlp.fc2.{}": ("mlp.c_proj.{}",),
    },
    dropped=frozenset(
        {"class_embedding", "positional_embedding", "ln_pre.weight", "ln_pre.bias", "ln_post.weight", "ln_post.bias"}
    ),
    projection="visual.proj",
    described=open_clip_config,
)
NAMINGS = (TRANSFORMERS, OPEN_CLIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerReport:
    """What became of the tensors of a CLIP checkpoint."""

    filled: tuple[str, ...]
    """Parameters of the model that have their values from it, "visual.blocks.0.norm1.weight" and so on."""
    dropped: tuple[str, ...]
    """Tensors of CLIP's tower, by their names in the files, that have no place in ours."""
    num_others: int
    """Tensors outside of the tower, mostly of CLIP's text side."""


@torch.no_grad()
def load_clip_tower(model: Qwen2VL, directory: str | Path) -> TowerReport:
    """Fill patch embedding and blocks of `model.visual` from a CLIP checkpoint in either layout [paper 2.8].

    The 2D kernel goes in equal shares to all time slices, so an image shown as two equal frames gives what CLIP's own
    convolution gives. LayerNorms keep the tower's epsilon (1e-6; CLIP's is 1e-5). Parameters keep their device and
    precision; one of them at a time is held besides the model. Raises ConfigError when a config file is missing or
    damaged, CheckpointError when sizes, activation or pixel statistics are not the model's or when tensors are missing,
    unknown or misshapen; nothing has changed then.
    """
    folder = Path(directory)
    whole = folder / OPEN_CLIP_FILE
    listed = list_file(whole, True) if whole.is_file() else list_tensors(folder, True).values()
    stored = {tensor.name: tensor for tensor in listed}
    naming, prefix = find_tower(stored, folder)
    refuse_another_tower(naming.described(folder), model.config.vision, folder)
    sources = sources_of(model, naming, prefix)
    dropped = {prefix + name for name in naming.dropped} | {naming.projection}
    tower = {name for name in stored if name.startswith(prefix) or name in dropped}
    refuse_tensors({name: stored[name].shape for name in tower - dropped}, sources, folder)
    for source in sources:
        parts = [read_tensor(stored[name]) for name in source.stored]
        is_kernel = source.name == PATCH_KERNEL
        source.parameter.copy_(spread(parts[0], model.config.vision) if is_kernel else torch.cat(parts))
    return TowerReport(
        filled=tuple(source.name for source in sources),
        dropped=tuple(sorted(tower & dropped)),
        num_others=len(stored) - len(tower),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One parameter and the tensors that it is made of."""

    name: str
    parameter: Tensor
    stored: tuple[str, ...]
    shape: Shape
    """Of each of them."""


def find_tower(names: Collection[str], folder: Path) -> tuple[Naming, str]:
    """The layout of a checkpoint and the prefix of its tower."""
    kernels = {prefix + naming.kernel: (naming, prefix) for naming in NAMINGS for prefix in naming.prefixes}
    found = next((kernel for kernel in kernels if kernel in names), None)
    if found is None:
        raise CheckpointError(
            f'"{folder}" holds no image tower of CLIP, it has none of {", ".join(kernels)}: give a checkpoint of a CLIP '
            "with a vision transformer"
        )
    return kernels[found]


def sources_of(model: Qwen2VL, naming: Naming, prefix: str) -> list[Source]:
    """Everything that is filled, in the order of the module."""
    vision = model.config.vision
    side = vision.patch_size
    names: dict[str, tuple[str, ...]] = {PATCH_KERNEL: (prefix + naming.kernel,)}
    for block in range(vision.depth):
        for ours, theirs in naming.parts.items():
            for leaf in ("weight", "bias"):
                stored = tuple(f"{prefix}{naming.blocks}.{block}.{part.format(leaf)}" for part in theirs)
                names[f"visual.blocks.{block}.{ours.format(leaf)}"] = stored
    sources = []
    for name, stored in names.items():
        parameter = model.get_parameter(name)
        rows, *columns = parameter.shape
        inner = (vision.in_channels, side, side) if name == PATCH_KERNEL else tuple(columns)
        shape = (rows // len(stored), *inner)
        sources.append(Source(name=name, parameter=parameter, stored=stored, shape=shape))
    return sources


def refuse_another_tower(theirs: Mapping[str, Any], vision: VisionConfig, folder: Path) -> None:
    """Sizes, activation and pixel statistics that tensors cannot show, or would show less clearly."""
    ours = {
        "width": vision.embed_dim,
        "depth": vision.depth,
        "patch size": vision.patch_size,
        "head width": vision.head_dim,
        "activation": "quick_gelu",
        "pixel mean": list(vision.image_mean),
        "pixel std": list(vision.image_std),
    }
    other = [what for what, value in theirs.items() if value != ours[what]]
    if other:
        has, ask = (", ".join(f"{what} {of[what]}" for what in other) for of in (theirs, ours))
        raise CheckpointError(
            f'the CLIP tower of "{folder}" has {has} where the model has {ask}: take a tower that agrees, as DFN\'s '
            "ViT-H/14 does with the published sizes, or change vision_config"
        )


def refuse_tensors(tower: Mapping[str, Shape], sources: list[Source], folder: Path) -> None:
    wanted = {name: source.shape for source in sources for name in source.stored}
    problems = {
        "lacks {}": [name for name in wanted if name not in tower],
        "has {} too many": sorted(set(tower) - set(wanted)),
        "has {} of another shape": [
            f"{name} {list(tower[name])} instead of {list(shape)}"
            for name, shape in wanted.items()
            if tower.get(name, shape) != shape
        ],
    }
    refuse(problems, str(folder))


def spread(kernel: Tensor, vision: VisionConfig) -> Tensor:
    """A 2D kernel [D, C, p, p] as the rows of ours, [D, C * slices * p * p]."""
    slices = vision.temporal_patch_size
    return (kernel.float() / slices)[:, :, None].expand(-1, -1, slices, -1, -1).flatten(1)
