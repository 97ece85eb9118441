"""What autograd keeps of one row until the backward pass, in bytes, worked out from the shapes of the model.

Counted per layer, as the code in `model` computes it; e = bytes of a number in the run's precision:

    RMSNorm       4 H of its input in float32; trained also e H normalised and e H that the products take
    LayerNorm     e D of its input; trained also e D that the products take
    attention     rotated queries and keys, values, and its result where a product or a fused kernel wants it
    SwiGLU        gate, silu(gate), up; trained also their product           QuickGELU likewise: input, sigmoid; product

A frozen layer that gradients pass through keeps what its own slope needs, but not what its weights would; a layer with
nothing trained in or below it keeps nothing. Recomputing in full keeps the input of every layer alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qwen2vl.data.plan import Budgets
from qwen2vl.model.attention.backends import longest_plain
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import FACTOR, TextConfig, VisionConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.parts import count_parameters
from qwen2vl.training.train_config import PARTS, Part

Recompute = Literal["none", "selective", "full"]
Learning = Literal["trained", "passed", "silent"]
"""Of a part: its weights learn; they do not, but gradients pass through it; neither."""

IMAGE_TOKENS = 1024
"""Of an image, where nothing is known but the budgets: about 900 x 900 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one forward pass runs over."""

    tokens: int
    patches: int
    document: int
    """Tokens that see each other: the mean over all tokens of how long their document is."""
    frame: int
    """Patches that see each other, likewise."""

    @classmethod
    def full(cls, budgets: Budgets, packs: int, settings: MediaSettings) -> "Row":
        """As much as the budgets allow: a document a pack, images of up to `IMAGE_TOKENS`."""
        visual = min(budgets.visual_tokens, budgets.tokens)
        image = min(IMAGE_TOKENS, settings.max_pixels // FACTOR**2, visual)
        return cls(tokens=packs * budgets.tokens, patches=4 * packs * visual, document=budgets.tokens, frame=4 * image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes."""

    parts: Mapping[Part, int]
    again: int
    """Of the largest layer, while it is computed again in the backward pass."""

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def learning_of(model: Qwen2VL) -> dict[Part, Learning]:
    """From which weights require a gradient; tower, merger and decoder follow on each other."""
    counts, found, reached = count_parameters(model), dict[Part, Learning](), False
    for part in PARTS:
        found[part] = "trained" if counts[part][1] else "passed" if reached else "silent"
        reached = found[part] != "silent"
    return found


def kept_by(model: Qwen2VL, row: Row, recompute: Recompute, element: int, device: str) -> Kept:
    """Of a row, under the weights that require a gradient now; element: bytes of a number; device: "cpu" or "cuda"."""
    vision, text, learning = model.config.vision, model.config.text, learning_of(model)
    block = _block(vision, learning["tower"], element, row.frame, device)
    layer = _layer(text, learning["decoder"], element, row.document, device)
    small_block, small_layer = block, layer
    if recompute != "none":
        full = recompute == "full"
        small_block = element * (vision.embed_dim + (0 if full else _block_products(vision)))
        small_layer = element * (text.hidden_size + (0 if full else _layer_products(text)))
    beside_blocks = element * vision.patch_dim + 4 * vision.head_dim
    final_norm = 4 * text.hidden_size + (learning["decoder"] == "trained") * element * text.hidden_size
    per_row = {
        "tower": row.patches * (vision.depth * small_block + beside_blocks),
        "merger": row.patches * element * vision.embed_dim * (4 if learning["merger"] == "trained" else 2),
        "decoder": row.tokens * (text.num_hidden_layers * small_layer + 4 * text.head_dim + final_norm),
    }
    again = {
        "tower": row.patches * (block - small_block + element * vision.embed_dim),
        "merger": 0,
        "decoder": row.tokens * (layer - small_layer + element * text.hidden_size),
    }
    return Kept(
        parts={part: per_row[part] * (learning[part] != "silent") for part in PARTS},
        again=(recompute != "none") * max(again[part] * (learning[part] != "silent") for part in PARTS),
    )


def _layer(text: TextConfig, learning: Learning, e: int, document: int, device: str) -> int:
    """Bytes of a token in a decoder layer."""
    width, heads, trained = text.hidden_size, text.num_attention_heads, learning == "trained"
    plain = device == "cpu" and document <= longest_plain(e)
    norm = 4 * width + trained * 2 * e * width
    rotated = e * (width + 2 * text.num_key_value_heads * text.head_dim)
    mixed = (e * width if trained or not plain else 0) + (e * heads * document if plain else 4 * heads)
    return 2 * norm + rotated + mixed + e * text.intermediate_size * (4 if trained else 3)


def _block(vision: VisionConfig, learning: Learning, e: int, frame: int, device: str) -> int:
    """Bytes of a patch in a tower block. The values are a view of queries, keys and values together, which stay for it."""
    width, heads = vision.embed_dim, vision.num_heads
    plain = device == "cpu" and frame <= longest_plain(e)
    mixed = e * width + (e * heads * frame if plain else 4 * heads)
    return 2 * 2 * e * width + 5 * e * width + mixed + 3 * e * int(width * vision.mlp_ratio)


def _layer_products(text: TextConfig) -> int:
    """Numbers of a token that the products of a decoder layer result in: q, k, v, o, gate, up, down."""
    kv = text.num_key_value_heads * text.head_dim
    return 3 * text.hidden_size + 2 * kv + 2 * text.intermediate_size


def _block_products(vision: VisionConfig) -> int:
    """Numbers of a patch that the products of a tower block result in: qkv, proj, fc1, fc2."""
    return int(vision.embed_dim * (5 + vision.mlp_ratio))
