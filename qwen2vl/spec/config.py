"""The numbers of a model: named sizes, and reading the published `config.json` in both layouts [paper 1.1, 1.2].

Flat (2024): text fields at the top, `vision_config` nested, `rope_scaling`.
Nested (transformers >= 5): text fields in `text_config`, theta and sections in `rope_parameters`.
"""

import dataclasses
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.spec import resolve_source
from qwen2vl.spec.tokens import TokenIds

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Vision tower and merger [paper 1.2, 2]."""

    hidden_size: int
    """Width of the merger's output = width of the decoder."""
    depth: int = 32
    embed_dim: int = 1280
    num_heads: int = 16
    mlp_ratio: float = 4.0
    in_channels: int = 3
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    image_mean: tuple[float, ...] = CLIP_MEAN
    """Per channel, on pixels / 255; comes from preprocessor_config.json, because uint8 patches are normalised here."""
    image_std: tuple[float, ...] = CLIP_STD

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads or self.head_dim % 4:
            raise ConfigError(
                f"vision embed_dim {self.embed_dim} over {self.num_heads} heads must give a whole head size that is a "
                "multiple of 4 (half for rows, half for columns, rotated in pairs): change embed_dim or num_heads"
            )

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Numbers in one flattened patch: 1176 in every published model."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def merge_unit(self) -> int:
        """Patches that become one token of the decoder: 4."""
        return self.spatial_merge_size**2


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Qwen2 decoder with three-axis rotary positions [paper 1.1, 3]."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool = False
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1_000_000.0
    mrope_section: tuple[int, ...] = (16, 24, 24)
    """Frequencies owned by time, row, column; they sum to half a head."""
    rope: Literal["mrope", "1d"] = "mrope"
    """"1d" gives all axes the plain token index: the baseline of the paper's table 8."""
    max_position_embeddings: int = 32768
    """The context: longest prompt plus reply that is accepted."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}"
            )
        if sum(self.mrope_section) * 2 != self.head_dim or len(self.mrope_section) != 3:
            raise ConfigError(
                f"mrope_section {list(self.mrope_section)} must be three counts that sum to half the head size, "
                f"{self.head_dim // 2}"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen2VLConfig:
    """A whole model: tower, decoder and the token ids that join them."""

    vision: VisionConfig
    text: TextConfig
    tokens: TokenIds = field(default_factory=TokenIds)
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.vision.hidden_size != self.text.hidden_size:
            raise ConfigError(
                f"the merger's width, vision_config.hidden_size {self.vision.hidden_size}, must equal the decoder's "
                f"hidden_size {self.text.hidden_size}"
            )

    @classmethod
    def named(cls, name: str) -> "Qwen2VLConfig":
        """A known size: "nano", "2b", "7b" or "72b". Raises ConfigError for other names."""
        if name not in NAMED:
            raise ConfigError(f'no model size is called "{name}": choose one of {", ".join(NAMED)}')
        return NAMED[name]

    @classmethod
    def load(cls, directory: str | Path) -> "Qwen2VLConfig":
        """Read `config.json` (and the pixel statistics of `preprocessor_config.json`) of a checkpoint directory.

        Raises ConfigError when a file is missing, unreadable, of another model, or holds fields we do not know.
        """
        folder = resolve_source(directory)
        config = config_from_dict(read_json(folder / "config.json"))
        known = read_preprocessor(folder, "image")
        if known:
            vision = replace(
                config.vision,
                image_mean=tuple(known.get("image_mean", CLIP_MEAN)),
                image_std=tuple(known.get("image_std", CLIP_STD)),
            )
            config = replace(config, vision=vision)
        return config


def read_preprocessor(folder: Path, kind: Literal["image", "video"]) -> dict[str, Any]:
    """What a checkpoint says of its images or videos, {} when it says nothing.

    A file of its own in the published layout; transformers >= 5 nests both in `processor_config.json` when it saves.
    """
    own = folder / ("preprocessor_config.json" if kind == "image" else "video_preprocessor_config.json")
    if own.exists():
        return read_json(own)
    shared = folder / "processor_config.json"
    return dict(read_json(shared).get(f"{kind}_processor") or {}) if shared.exists() else {}


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a file of a checkpoint; ConfigError when it is missing or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f'"{path.parent}" has no readable {path.name}: give a checkpoint directory in the hub layout, or "nano"'
        ) from error
    except ValueError as error:
        raise ConfigError(f'"{path}" is not valid JSON: the file is damaged, copy it again') from error
    if not isinstance(content, dict):
        raise ConfigError(f'"{path}" holds a {type(content).__name__} where an object is expected')
    return content


_INERT = {
    "architectures", "attention_dropout", "auto_map", "bos_token_id", "dtype", "eos_token_id", "hidden_act",
    "initializer_range", "layer_types", "max_window_layers", "model_type", "pad_token_id", "quantization_config",
    "rope_parameters", "rope_scaling", "sliding_window", "torch_dtype", "transformers_version", "use_cache",
    "use_sliding_window", "vision_config", "text_config", "id2label", "label2id", "return_dict", "output_attentions",
    "output_hidden_states", "chunk_size_feed_forward", "is_encoder_decoder", "problem_type", "_name_or_path",
    "is_decoder", "add_cross_attention", "cross_attention_hidden_size", "finetuning_task", "prefix",
    "task_specific_params", "tokenizer_class", "torchscript", "pruned_heads", "tie_encoder_decoder",
    "_attn_implementation_autoset", "use_bfloat16",
}  # fmt: skip
"""Keys that published files carry and that change nothing here (or are handled by name below)."""

_VISION_INERT = {
    "hidden_act", "model_type", "in_chans", "spatial_patch_size", "initializer_range", "dtype", "rope_parameters",
}  # fmt: skip


def config_from_dict(raw: dict[str, Any]) -> Qwen2VLConfig:
    """The config of a parsed `config.json`, flat or nested. Strict: unknown fields are ConfigErrors, never skipped."""
    if raw.get("model_type") != "qwen2_vl":
        raise ConfigError(
            f'config.json is of a "{raw.get("model_type")}" model, this program runs "qwen2_vl": give a Qwen2-VL checkpoint'
        )
    # In the nested layout some fields (tie_word_embeddings, token ids) stay at the top, and win.
    text = {**(raw.get("text_config") or {}), **{k: v for k, v in raw.items() if k not in ("text_config",)}}
    refuse_unsupported(text)
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    vision = dict(raw.get("vision_config") or {})
    refuse_unsupported_tower(vision)
    token_keys = {
        "bos": "bos_token_id",
        "eos": "eos_token_id",
        "vision_start": "vision_start_token_id",
        "vision_end": "vision_end_token_id",
        "vision_pad": "vision_token_id",
        "image_pad": "image_token_id",
        "video_pad": "video_token_id",
    }
    text_fields = {f.name for f in dataclasses.fields(TextConfig)} - {"mrope_section", "rope_theta"}
    vision_fields = {f.name for f in dataclasses.fields(VisionConfig)} - {"image_mean", "image_std"}
    refuse_unknown("config.json", set(text) - text_fields - _INERT - set(token_keys.values()) - {"rope_theta"})
    refuse_unknown("vision_config", set(vision) - vision_fields - _VISION_INERT)
    try:
        vision.setdefault("in_channels", vision.get("in_chans", 3))
        return Qwen2VLConfig(
            vision=VisionConfig(
                hidden_size=vision.pop("hidden_size", text["hidden_size"]),
                **{k: v for k, v in vision.items() if k in vision_fields},
            ),
            text=TextConfig(
                rope_theta=float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
                mrope_section=tuple(rope.get("mrope_section", (16, 24, 24))),
                **{k: text[k] for k in text_fields if k in text},
            ),
            tokens=TokenIds(
                **{ours: int(text[theirs]) for ours, theirs in token_keys.items() if text.get(theirs) is not None}
            ),
            initializer_range=text.get("initializer_range", 0.02),
        )
    except (TypeError, KeyError) as error:
        raise ConfigError(f"config.json lacks a field or has one of the wrong type: {error}") from error


def refuse_unknown(where: str, unknown: set[str]) -> None:
    if unknown:
        raise ConfigError(f"{where} has fields that this program does not know: {', '.join(sorted(unknown))}")


def refuse_unsupported(text: dict[str, Any]) -> None:
    """Settings that would change the numbers and that no Qwen2-VL uses: refused, because ignoring them is wrong."""
    if text.get("use_sliding_window"):
        raise ConfigError("use_sliding_window true is not supported: no published Qwen2-VL uses it, set it to false")
    if text.get("hidden_act", "silu") != "silu":
        raise ConfigError(f'hidden_act "{text["hidden_act"]}" is not supported: a Qwen2-VL decoder uses "silu"')
    if text.get("quantization_config"):
        raise ConfigError("quantised checkpoints cannot be read: use the unquantised release of the same model")
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "mrope"))  # newer files call M-RoPE "default"
    if kind not in ("mrope", "default"):
        raise ConfigError(f'rope type "{kind}" is not supported: a Qwen2-VL decoder uses "mrope"')


def refuse_unsupported_tower(vision: dict[str, Any]) -> None:
    """The same for the tower; newer files (transformers >= 5) spell out its rotary settings."""
    if vision.get("hidden_act", "quick_gelu") != "quick_gelu":
        raise ConfigError(f'vision hidden_act "{vision["hidden_act"]}" is not supported: the tower uses "quick_gelu"')
    theta = (vision.get("rope_parameters") or {}).get("rope_theta", 10_000)
    if theta != 10_000:
        raise ConfigError(f"vision rope_theta {theta} is not supported: the tower uses 10000")


def config_to_dict(config: Qwen2VLConfig) -> dict[str, Any]:
    """The flat layout of 2024, which both old and new readers accept; the reverse of `config_from_dict`."""
    text, vision, tokens = config.text, config.vision, config.tokens
    whole = int(vision.mlp_ratio) if vision.mlp_ratio == int(vision.mlp_ratio) else vision.mlp_ratio
    flat = {k: v for k, v in dataclasses.asdict(text).items() if k not in ("mrope_section", "rope")}
    if text.rope != "mrope":  # an ablation's switch; published files do not have it
        flat["rope"] = text.rope
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **flat,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "initializer_range": config.initializer_range,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "use_sliding_window": False,
        "use_cache": True,
        "bos_token_id": tokens.bos,
        "eos_token_id": tokens.eos,
        "vision_start_token_id": tokens.vision_start,
        "vision_end_token_id": tokens.vision_end,
        "vision_token_id": tokens.vision_pad,
        "image_token_id": tokens.image_pad,
        "video_token_id": tokens.video_pad,
        "vision_config": {
            "model_type": "qwen2_vl",
            "hidden_act": "quick_gelu",
            "in_chans": vision.in_channels,
            "spatial_patch_size": vision.patch_size,
            **{k: v for k, v in dataclasses.asdict(vision).items() if k not in ("image_mean", "image_std")},
            "mlp_ratio": whole,  # transformers refuses 4.0
        },
    }


def _published(
    hidden: int, intermediate: int, layers: int, heads: int, kv: int, vocab: int, tied: bool
) -> Qwen2VLConfig:
    text = TextConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocab,
        tie_word_embeddings=tied,
    )
    return Qwen2VLConfig(vision=VisionConfig(hidden_size=hidden), text=text)


NANO = Qwen2VLConfig(
    vision=VisionConfig(
        hidden_size=192,
        depth=4,
        embed_dim=128,
        num_heads=4,
        # Statistics of the drawn world: with CLIP's the visual signal stays at chance for the whole run.
        image_mean=(0.71, 0.70, 0.69),
        image_std=(0.30, 0.31, 0.31),
    ),
    text=TextConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=1856,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        mrope_section=(4, 6, 6),
        max_position_embeddings=32768,
    ),
    # nano's tokenizer puts the special tokens first, in the published order, so ids do not move with its vocabulary.
    tokens=TokenIds(bos=0, eos=2, vision_start=9, vision_end=10, vision_pad=11, image_pad=12, video_pad=13),
    initializer_range=0.03,
)
"""The small model that this project trains on what it draws, and ships."""

NAMED = {
    "nano": NANO,
    "2b": _published(1536, 8960, 28, 12, 2, 151936, True),
    "7b": _published(3584, 18944, 28, 28, 4, 152064, False),
    "72b": _published(8192, 29568, 80, 64, 8, 152064, False),
}
"""Every named size; parameter totals are those of [paper 1.8]."""
