"""Our model with random weights, and transformers' model on the same storage: two modules, one set of bytes."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from qwen2vl.model.checkpoint.names import tensor_table
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl.spec.tokens import TokenIds

SMALL = Qwen2VLConfig(
    vision=VisionConfig(hidden_size=64, depth=2, embed_dim=32, num_heads=2),
    text=TextConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=300, mrope_section=(2, 3, 3), tie_word_embeddings=True,
    ),
    tokens=TokenIds(bos=0, eos=2, vision_start=9, vision_end=10, vision_pad=11, image_pad=12, video_pad=13),
)  # fmt: skip
"""The same model, a few thousand times smaller, for --small of every script."""


def shortened(config: Qwen2VLConfig, *, depth: int | None = None, layers: int | None = None) -> Qwen2VLConfig:
    """The same widths with fewer tower blocks or decoder layers."""
    vision = config.vision if depth is None else replace(config.vision, depth=depth)
    text = config.text if layers is None else replace(config.text, num_hidden_layers=layers)
    return replace(config, vision=vision, text=text)


@torch.no_grad()
def random_model(config: Qwen2VLConfig, dtype: torch.dtype, device: str | torch.device = "cpu") -> Qwen2VL:
    """Our model with weights and biases normal(0, 0.02) and norms around 1, without a second copy in memory."""
    with torch.device("meta"):
        model = Qwen2VL(config).to(dtype)
    model.to_empty(device=device)
    model.tie()
    generator = torch.Generator(device=device).manual_seed(0)
    # A prime number of different values, of which tensors are slices: two billion would take a minute.
    size = min(16_777_213, 1 + max(parameter.numel() for parameter in model.parameters()))
    pool = (torch.randn(size, generator=generator, device=device) * config.initializer_range).to(dtype)
    start = 0
    for name, parameter in model.named_parameters():
        start = fill(parameter.view(-1), pool, start)
        if parameter.ndim == 1 and name.endswith("weight"):
            parameter.add_(1.0)
    return model.eval()


def fill(flat: Tensor, pool: Tensor, start: int) -> int:
    """Copy the pool cyclically into `flat`, from `start`; returns the start of the next tensor."""
    at = 0
    while at < len(flat):
        count = min(len(flat) - at, len(pool) - start)
        flat[at : at + count] = pool[start : start + count]
        at, start = at + count, (start + count) % len(pool)
    return start


def transformers_twin(model: Qwen2VL) -> Any:
    """transformers' Qwen2VLForConditionalGeneration with SDPA, whose parameters share the memory of `model`."""
    # Here, because transformers is an optional package.
    from transformers import AutoModelForImageTextToText
    from transformers import Qwen2VLConfig as PeerConfig

    peer_config = PeerConfig(**model.config.to_hub())
    with torch.device("meta"):
        twin = AutoModelForImageTextToText.from_config(peer_config, attn_implementation="sdpa", dtype=model.dtype)
    # Rotary tables are buffers that are not in a checkpoint: make them outside the meta device.
    for owner, name, settings in (
        (twin.model.visual, "rotary_pos_emb", peer_config.vision_config),
        (twin.model.language_model, "rotary_emb", peer_config.text_config),
    ):
        setattr(owner, name, type(getattr(owner, name))(settings).to(model.device))
    ours = dict(model.named_parameters())
    shared = {entry.newer: ours[entry.name].detach().view(entry.disk_shape) for entry in tensor_table(model)}
    shared.setdefault("lm_head.weight", model.lm_head.weight.detach())
    twin.load_state_dict(shared, strict=True, assign=True)
    twin.tie_weights()
    check_shared(model, twin)
    return twin.eval()


def check_shared(model: Qwen2VL, twin: nn.Module) -> None:
    """Check that every parameter of the twin shares the memory of ours."""
    ours = {parameter.data_ptr() for parameter in model.parameters()}
    copies = [name for name, parameter in twin.named_parameters() if parameter.data_ptr() not in ours]
    assert not copies, f"transformers has copies of {copies[:3]}"


def normalised(model: Qwen2VL, patches: Tensor) -> Tensor:
    """uint8 patches in the form of the peer's image processor: float32 and normalised."""
    return model.visual.patch_embed.normalise(patches)
