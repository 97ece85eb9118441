"""The numbers of a model: its parts as frozen dataclasses, and the named sizes [paper 1.1, 1.2]."""

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.spec import resolve_source
from qwen2vl.spec.hub_config import hub_config_of, parse_hub_config, read_json, read_preprocessor
from qwen2vl.spec.tokens import TokenIds

PATCH = 14
"""Pixels on a side of one patch, the unit of the tower."""
MERGE = 2
"""Patches on a side of one decoder token."""
FACTOR = PATCH * MERGE
"""Pixels on a side of one decoder token, 28."""
FRAMES_PER_PATCH = 2
"""Frames of a video that one patch spans."""
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
    patch_size: int = PATCH
    spatial_merge_size: int = MERGE
    temporal_patch_size: int = FRAMES_PER_PATCH
    image_mean: tuple[float, ...] = CLIP_MEAN
    """Mean per channel of pixels / 255, from preprocessor_config.json, because the model normalises uint8 patches."""
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
        """Length of one flattened patch: 1176 in every published model."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def merge_unit(self) -> int:
        """Number of patches that become one token of the decoder: 4."""
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
    """Number of frequencies of time, row and column; they sum to half a head."""
    rope: Literal["mrope", "1d"] = "mrope"
    """"1d" uses the token index on all axes: the baseline of table 8 of the paper."""
    max_position_embeddings: int = 32768
    """The context: largest number of tokens of a prompt and its reply."""

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
    """Configuration of a whole model: tower, decoder and the token ids that join them."""

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

        Raises ConfigError when a file is missing, unreadable, of another model, or has unknown fields.
        """
        folder = resolve_source(directory)
        config = cls.from_hub(read_json(folder / "config.json"))
        known = read_preprocessor(folder, "image")
        if known:
            vision = replace(
                config.vision,
                image_mean=tuple(known.get("image_mean", CLIP_MEAN)),
                image_std=tuple(known.get("image_std", CLIP_STD)),
            )
            config = replace(config, vision=vision)
        return config

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> "Qwen2VLConfig":
        """The config of a parsed `config.json`, flat or nested. Raises ConfigError, also for unknown fields."""
        text_fields = {f.name for f in dataclasses.fields(TextConfig)}
        vision_fields = {f.name for f in dataclasses.fields(VisionConfig)} - {"image_mean", "image_std"}
        found = parse_hub_config(raw, text_fields, vision_fields)
        try:
            return cls(
                vision=VisionConfig(**found.vision),
                text=TextConfig(**found.text),
                tokens=TokenIds(**found.tokens),
                initializer_range=found.initializer_range,
            )
        except TypeError as error:
            raise ConfigError(f"config.json lacks a field or has one of the wrong type: {error}") from error

    def to_hub(self) -> dict[str, Any]:
        """The contents of `config.json`, in the flat layout; the reverse of `from_hub`."""
        return hub_config_of(dataclasses.asdict(self))


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
        hidden_size=256,
        depth=6,
        embed_dim=192,
        num_heads=3,
        # Statistics of the drawn world: with those of CLIP, training stays at chance.
        image_mean=(0.71, 0.70, 0.69),
        image_std=(0.30, 0.31, 0.31),
    ),
    text=TextConfig(
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=3072,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        mrope_section=(8, 12, 12),
        max_position_embeddings=32768,
    ),
    # nano's tokenizer has the special tokens first, in the published order, so ids do not depend on its vocabulary.
    tokens=TokenIds(bos=0, eos=2, vision_start=9, vision_end=10, vision_pad=11, image_pad=12, video_pad=13),
    initializer_range=0.03,
)
"""The small model that the recipe `nano` trains on the drawn world, 8.9 million parameters.

Its heads have 64 dimensions: with 32, attention takes twice as long in training on a CPU.
"""

NAMED = {
    "nano": NANO,
    "2b": _published(1536, 8960, 28, 12, 2, 151936, True),
    "7b": _published(3584, 18944, 28, 28, 4, 152064, False),
    "72b": _published(8192, 29568, 80, 64, 8, 152064, False),
}
"""All named sizes; their numbers of parameters are in [paper 1.8]."""
