"""Bytes of the activations that autograd keeps of one row until the backward pass, computed from the shapes of the model.

Counted per layer, as the code in `model` computes it; e = bytes of a number in the run's precision, H and D = widths:

    RMSNorm       4 H: its input in float32; if trained also e H: the normalised input, and e H: the input of the products
    LayerNorm     e D: its input; if trained also e D: the input of the products
    attention     rotated queries and keys, values, and the result where a product or a fused kernel needs it
    SwiGLU        gate, silu(gate), up; if trained also their product
    QuickGELU     input and sigmoid; if trained also their product

A frozen layer that gradients pass through keeps what the gradient of its input needs, but not what those of its weights would
need. A layer below which nothing is trained keeps nothing. With full recomputing a layer keeps its input only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qwen2vl.data.plan import Budgets
from qwen2vl.model.attention.layout import LONGEST_KEPT
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import FACTOR, TextConfig, VisionConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.parts import count_parameters
from qwen2vl.training.train_config import PARTS, Part, Recompute

GradientUse = Literal["trained", "passed", "none"]
"""Gradients that the backward pass computes in a part: of weights and activations, of activations only, or none."""

IMAGE_TOKENS = 1024
"""Tokens of an image where only the budgets are known: about 900 x 900 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Size of the input of one forward pass."""

    tokens: int
    patches: int
    document: int
    """Number of tokens that see each other: length of the document of a token, as the mean over all tokens."""
    frame: int
    """Number of patches that see each other: size of the frame of a patch, as the mean over all patches."""

    @classmethod
    def full(cls, budgets: Budgets, packs: int, settings: MediaSettings) -> "Row":
        """The largest row that the budgets allow: one document per pack, images of up to `IMAGE_TOKENS`."""
        visual = min(budgets.visual_tokens, budgets.tokens)
        image = min(IMAGE_TOKENS, settings.max_pixels // FACTOR**2, visual)
        return cls(tokens=packs * budgets.tokens, patches=4 * packs * visual, document=budgets.tokens, frame=4 * image)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationMemory:
    """Bytes that the activations of one row take."""

    parts: Mapping[Part, int]
    """Kept from the forward pass until the backward pass, by part."""
    recomputed: int
    """Added in the backward pass while the largest layer is computed again."""

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def gradient_use(model: Qwen2VL) -> dict[Part, GradientUse]:
    """Gradients that the backward pass computes in each part, given the weights that require a gradient now."""
    counts, uses, is_reached = count_parameters(model), dict[Part, GradientUse](), False
    for part in PARTS:
        uses[part] = "trained" if counts[part][1] else "passed" if is_reached else "none"
        is_reached = uses[part] != "none"
    return uses


def activation_memory(
    model: Qwen2VL, row: Row, recompute: Recompute, element_bytes: int, device: str
) -> ActivationMemory:
    """Activations of a row, with the weights that require a gradient now.

    element_bytes: bytes of a number in the run's precision. device: "cpu" or "cuda".
    """
    vision, text, uses = model.config.vision, model.config.text, gradient_use(model)
    block = _block_bytes(vision, element_bytes, row.frame, device)
    layer = _layer_bytes(text, uses["decoder"], element_bytes, row.document, device)
    kept_block, kept_layer = block, layer
    if recompute != "none":
        kept_block, kept_layer = element_bytes * vision.embed_dim, element_bytes * text.hidden_size
    if recompute == "selective":
        # Results of the products: qkv, proj, fc1, fc2 of a block; q, k, v, o, gate, up, down of a layer.
        kept_block += element_bytes * int(vision.embed_dim * (5 + vision.mlp_ratio))
        key_values = 2 * text.num_key_value_heads * text.head_dim
        kept_layer += element_bytes * (3 * text.hidden_size + key_values + 2 * text.intermediate_size)
    outside_blocks = element_bytes * vision.patch_dim + 4 * vision.head_dim
    final_norm = 4 * text.hidden_size + (uses["decoder"] == "trained") * element_bytes * text.hidden_size
    kept = {
        "tower": row.patches * (vision.depth * kept_block + outside_blocks),
        "merger": row.patches * element_bytes * vision.embed_dim * (4 if uses["merger"] == "trained" else 2),
        "decoder": row.tokens * (text.num_hidden_layers * kept_layer + 4 * text.head_dim + final_norm),
    }
    recomputed = {
        "tower": row.patches * (block - kept_block + element_bytes * vision.embed_dim),
        "merger": 0,
        "decoder": row.tokens * (layer - kept_layer + element_bytes * text.hidden_size),
    }
    return ActivationMemory(
        parts={part: kept[part] * (uses[part] != "none") for part in PARTS},
        recomputed=(recompute != "none") * max(recomputed[part] * (uses[part] != "none") for part in PARTS),
    )


def _layer_bytes(text: TextConfig, use: GradientUse, e: int, document: int, device: str) -> int:
    """Bytes per token that a decoder layer keeps."""
    width, heads, is_trained = text.hidden_size, text.num_attention_heads, use == "trained"
    norm = 4 * width + is_trained * 2 * e * width
    rotated = e * (width + 2 * text.num_key_value_heads * text.head_dim)
    result = e * width if is_trained or device != "cpu" else 0
    weights = _weight_bytes(heads, e, document, device)
    return 2 * norm + rotated + result + weights + e * text.intermediate_size * (4 if is_trained else 3)


def _block_bytes(vision: VisionConfig, e: int, frame: int, device: str) -> int:
    """Bytes per patch that a tower block keeps. The values are a view of the fused qkv tensor, so all of it is kept."""
    width, heads = vision.embed_dim, vision.num_heads
    weights = _weight_bytes(heads, e, frame, device)
    return 2 * 2 * e * width + 6 * e * width + weights + 3 * e * int(width * vision.mlp_ratio)


def _weight_bytes(heads: int, e: int, segment: int, device: str) -> int:
    """Bytes per row of the softmax weights that attention keeps, or of the fused kernel's sums in their place."""
    if device != "cpu":
        return 4 * heads
    return e * heads * segment if segment <= LONGEST_KEPT else 0
