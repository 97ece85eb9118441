"""First weights of the tower from a CLIP image tower, as the paper takes them from DFN's ViT-H/14 [paper 2.8].

    here                          transformers                                  open_clip
    patch_embed.proj              embeddings.patch_embedding                    conv1
    blocks.N.norm1, norm2         encoder.layers.N.layer_norm1, layer_norm2     transformer.resblocks.N.ln_1, ln_2
    blocks.N.attn.qkv             ... .self_attn.q_proj, k_proj, v_proj         ... .attn.in_proj_
    blocks.N.attn.proj            ... .self_attn.out_proj                       ... .attn.out_proj
    blocks.N.mlp.fc1, fc2         ... .mlp.fc1, fc2                             ... .mlp.c_fc, c_proj

CLIP's position table, class token, norms before and after the blocks, and projection are not used: rotary positions and
the merger replace them. The merger keeps its weights.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint.names import PATCH_KERNEL, Shape, match_tensors
from qwen2vl.model.checkpoint.tensor_files import list_file, list_tensors
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import VisionConfig
from qwen2vl.spec.hub_config import read_json, read_preprocessor


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFormat:
    """Names of the tower's tensors in the files of one library. All but the projection's begin with a prefix."""

    prefixes: tuple[str, ...]
    """Possible prefixes."""
    kernel: str
    blocks: str
    parts: Mapping[str, tuple[str, ...]]
    """Inside a block: our name, and theirs, which are stacked in this order; {} is replaced by weight or bias."""
    unused: frozenset[str]
    projection: str
    read_settings: Callable[[Path], dict[str, Any]]
    """Settings of the tower from the directory's config, by the names in `refuse_other_tower`."""


def transformers_settings(folder: Path) -> dict[str, Any]:
    """Settings of a whole CLIP, or of a tower saved alone; missing fields have the library's defaults."""
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


def open_clip_settings(folder: Path) -> dict[str, Any]:
    """Settings of a directory written by open_clip, whose default activation is plain GELU."""
    raw = read_json(folder / "open_clip_config.json")
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


TRANSFORMERS = ClipFormat(
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
    unused=frozenset(
        {
            "embeddings.class_embedding", "embeddings.position_embedding.weight", "embeddings.position_ids",
            "pre_layrnorm.weight", "pre_layrnorm.bias", "post_layernorm.weight", "post_layernorm.bias",
        }
    ),
    projection="visual_projection.weight",
    read_settings=transformers_settings,
)  # fmt: skip
OPEN_CLIP = ClipFormat(
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
    unused=frozenset(
        {"class_embedding", "positional_embedding", "ln_pre.weight", "ln_pre.bias", "ln_post.weight", "ln_post.bias"}
    ),
    projection="visual.proj",
    read_settings=open_clip_settings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerReport:
    """Use of the tensors of a CLIP checkpoint."""

    filled: tuple[str, ...]
    """Parameters of the model that were filled, "visual.blocks.0.norm1.weight" and so on."""
    dropped: tuple[str, ...]
    """Tensors of CLIP's tower, by their names in the files, that our tower does not have."""
    num_others: int
    """Number of tensors outside of the tower, mostly of CLIP's text side."""


@torch.no_grad()
def load_clip_tower(model: Qwen2VL, directory: str | Path) -> TowerReport:
    """Fill patch embedding and blocks of `model.visual` from a CLIP checkpoint of either library [paper 2.8].

    The 2D kernel is divided equally among all time slices, so an image shown as two equal frames gives the same as
    CLIP's own convolution. LayerNorms keep the tower's epsilon (1e-6; CLIP's is 1e-5). Parameters keep their device and
    precision; one tensor at a time is held besides the model. Raises ConfigError when a config file is missing or
    damaged, CheckpointError when sizes, activation or pixel statistics differ from the model's or when tensors are
    missing, unknown or misshapen; the model is unchanged then.
    """
    folder, vision = Path(directory), model.config.vision
    single_file = folder / "open_clip_model.safetensors"
    listed = list_file(single_file, True) if single_file.is_file() else list_tensors(folder, True).values()
    stored = {tensor.name: tensor for tensor in listed}
    form, prefix = find_tower(stored, folder)
    refuse_other_tower(form.read_settings(folder), vision, folder)
    parameters = tower_parameters(model, form, prefix)
    unused = {prefix + name for name in form.unused} | {form.projection}
    tower = {name for name in stored if name.startswith(prefix) or name in unused}
    match_tensors(
        [((name,), parameter.shape) for parameter in parameters for name in parameter.stored],
        {name: stored[name].shape for name in tower - unused},
        f'the checkpoint "{folder}"',
    )
    for parameter in parameters:
        values = torch.cat([stored[name].read() for name in parameter.stored])
        if parameter.name == PATCH_KERNEL:  # [D, channels, side, side] to [D, channels * slices * side * side]
            slices = vision.temporal_patch_size
            values = (values.float() / slices)[:, :, None].expand(-1, -1, slices, -1, -1).flatten(1)
        parameter.tensor.copy_(values)
    return TowerReport(
        filled=tuple(parameter.name for parameter in parameters),
        dropped=tuple(sorted(tower & unused)),
        num_others=len(stored) - len(tower),
    )


def find_tower(names: Collection[str], folder: Path) -> tuple[ClipFormat, str]:
    """Format of a checkpoint and prefix of its tower. Raises CheckpointError if there is no tower."""
    kernels = {prefix + form.kernel: (form, prefix) for form in (TRANSFORMERS, OPEN_CLIP) for prefix in form.prefixes}
    found = next((kernel for kernel in kernels if kernel in names), None)
    if found is None:
        raise CheckpointError(
            f'"{folder}" holds no image tower of CLIP, it has none of {", ".join(kernels)}: give a checkpoint of a CLIP '
            "with a vision transformer"
        )
    return kernels[found]


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerParameter:
    """One parameter and the stored tensors whose rows it joins."""

    name: str
    tensor: Tensor
    stored: tuple[str, ...]
    shape: Shape
    """Shape of each stored tensor."""


def tower_parameters(model: Qwen2VL, form: ClipFormat, prefix: str) -> list[TowerParameter]:
    """Every parameter to fill, in the order of the module."""
    vision = model.config.vision
    side = vision.patch_size
    names: dict[str, tuple[str, ...]] = {PATCH_KERNEL: (prefix + form.kernel,)}
    for block in range(vision.depth):
        for ours, theirs in form.parts.items():
            for leaf in ("weight", "bias"):
                stored = tuple(f"{prefix}{form.blocks}.{block}.{part.format(leaf)}" for part in theirs)
                names[f"visual.blocks.{block}.{ours.format(leaf)}"] = stored
    parameters = []
    for name, stored in names.items():
        tensor = model.get_parameter(name)
        rows, *columns = tensor.shape
        inner = (vision.in_channels, side, side) if name == PATCH_KERNEL else tuple(columns)
        shape = (rows // len(stored), *inner)
        parameters.append(TowerParameter(name=name, tensor=tensor, stored=stored, shape=shape))
    return parameters


def refuse_other_tower(theirs: Mapping[str, Any], vision: VisionConfig, folder: Path) -> None:
    """Raise CheckpointError if a setting of the tower differs; the shapes of tensors would not show all of them."""
    ours = {
        "width": vision.embed_dim,
        "depth": vision.depth,
        "patch size": vision.patch_size,
        "head width": vision.head_dim,
        "activation": "quick_gelu",
        "pixel mean": list(vision.image_mean),
        "pixel std": list(vision.image_std),
    }
    different = [setting for setting, value in theirs.items() if value != ours[setting]]
    if different:
        has, needs = (", ".join(f"{setting} {of[setting]}" for setting in different) for of in (theirs, ours))
        raise CheckpointError(
            f'the CLIP tower of "{folder}" has {has} where the model has {needs}: take a tower with the same settings, '
            "as DFN's ViT-H/14 has for the published sizes, or change vision_config"
        )
