"""Published configuration files: reading `config.json` in both layouts, strictly, and writing it in the flat one [paper 1.2].

Flat (2024): text fields at the top, `vision_config` nested, `rope_scaling`.
Nested (transformers >= 5): text fields in `text_config`, theta and sections in `rope_parameters`.

This module handles plain dictionaries; their classes are in `config`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qwen2vl.common.errors import ConfigError

TOKEN_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "vision_start": "vision_start_token_id",
    "vision_end": "vision_end_token_id",
    "vision_pad": "vision_token_id",
    "image_pad": "image_token_id",
    "video_pad": "video_token_id",
}
"""Our name of each token id, and its name in the published file."""

INERT = {
    "architectures", "attention_dropout", "auto_map", "bos_token_id", "dtype", "eos_token_id", "hidden_act",
    "initializer_range", "layer_types", "max_window_layers", "model_type", "pad_token_id", "quantization_config",
    "rope_parameters", "rope_scaling", "sliding_window", "torch_dtype", "transformers_version", "use_cache",
    "use_sliding_window", "vision_config", "text_config", "id2label", "label2id", "return_dict", "output_attentions",
    "output_hidden_states", "chunk_size_feed_forward", "is_encoder_decoder", "problem_type", "_name_or_path",
    "is_decoder", "add_cross_attention", "cross_attention_hidden_size", "finetuning_task", "prefix",
    "task_specific_params", "tokenizer_class", "torchscript", "pruned_heads", "tie_encoder_decoder",
    "_attn_implementation_autoset", "use_bfloat16",
}  # fmt: skip
"""Keys of published files that have no effect here, or that the functions below read by name."""

VISION_INERT = {
    "hidden_act", "model_type", "in_chans", "spatial_patch_size", "initializer_range", "dtype", "rope_parameters",
}  # fmt: skip
"""The same for keys of `vision_config`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFields:
    """Fields of a published config under our names, ready for the classes of `config`."""

    text: dict[str, Any]
    vision: dict[str, Any]
    tokens: dict[str, int]
    initializer_range: float


def read_preprocessor(folder: Path, kind: Literal["image", "video"]) -> dict[str, Any]:
    """Preprocessor settings of a checkpoint for images or videos, {} when it has none.

    In the published layout each kind has its own file; transformers >= 5 saves both in `processor_config.json`.
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
        raise ConfigError(
            f'"{path}" contains a JSON {type(content).__name__}, but must contain an object: copy the file again'
        )
    return content


def parse_hub_config(raw: dict[str, Any], text_fields: set[str], vision_fields: set[str]) -> HubFields:
    """The fields of a parsed `config.json`, flat or nested.

    Args:
        text_fields, vision_fields: names of the fields of TextConfig and VisionConfig. Any other field is refused,
            unless it has no effect.

    Raises ConfigError.
    """
    if raw.get("model_type") != "qwen2_vl":
        raise ConfigError(
            f'config.json is of a "{raw.get("model_type")}" model, this program runs "qwen2_vl": give a Qwen2-VL checkpoint'
        )
    # In the nested layout some fields (tie_word_embeddings, token ids) stay at the top, and win.
    text = {**(raw.get("text_config") or {}), **{k: v for k, v in raw.items() if k != "text_config"}}
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    vision = dict(raw.get("vision_config") or {})
    refuse_unsupported(text, rope, vision)
    refuse_unknown("config.json", set(text) - (text_fields - {"mrope_section"}) - INERT - set(TOKEN_KEYS.values()))
    refuse_unknown("vision_config", set(vision) - vision_fields - VISION_INERT)
    try:
        vision = {"in_channels": vision.get("in_chans", 3), "hidden_size": text["hidden_size"]} | vision
        return HubFields(
            vision={name: value for name, value in vision.items() if name in vision_fields},
            text={name: text[name] for name in text_fields if name in text}
            | {
                "rope_theta": float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
                "mrope_section": tuple(rope.get("mrope_section", (16, 24, 24))),
            },
            tokens={ours: int(text[theirs]) for ours, theirs in TOKEN_KEYS.items() if text.get(theirs) is not None},
            initializer_range=text.get("initializer_range", 0.02),
        )
    except (TypeError, KeyError) as error:
        raise ConfigError(f"config.json lacks a field or has one of the wrong type: {error}") from error


def refuse_unknown(where: str, unknown: set[str]) -> None:
    """Raise ConfigError when there are unknown fields."""
    if unknown:
        raise ConfigError(f"{where} has fields that this program does not know: {', '.join(sorted(unknown))}")


def refuse_unsupported(text: dict[str, Any], rope: dict[str, Any], vision: dict[str, Any]) -> None:
    """Raise ConfigError for settings that would change the results and that no Qwen2-VL uses."""
    if text.get("use_sliding_window"):
        raise ConfigError("use_sliding_window true is not supported: no published Qwen2-VL uses it, set it to false")
    if text.get("hidden_act", "silu") != "silu":
        raise ConfigError(f'hidden_act "{text["hidden_act"]}" is not supported: a Qwen2-VL decoder uses "silu"')
    if text.get("quantization_config"):
        raise ConfigError("quantised checkpoints cannot be read: use the unquantised release of the same model")
    kind = rope.get("rope_type", rope.get("type", "mrope"))  # newer files call M-RoPE "default"
    if kind not in ("mrope", "default"):
        raise ConfigError(f'rope type "{kind}" is not supported: a Qwen2-VL decoder uses "mrope"')
    if vision.get("hidden_act", "quick_gelu") != "quick_gelu":
        raise ConfigError(f'vision hidden_act "{vision["hidden_act"]}" is not supported: the tower uses "quick_gelu"')
    theta = (vision.get("rope_parameters") or {}).get("rope_theta", 10_000)  # newer files (transformers >= 5) have it
    if theta != 10_000:
        raise ConfigError(f"vision rope_theta {theta} is not supported: the tower uses 10000")


def hub_config_of(config: dict[str, Any]) -> dict[str, Any]:
    """The flat layout of 2024, which both old and new readers accept, of a config as nested dictionaries."""
    text, vision, tokens = config["text"], config["vision"], config["tokens"]
    ratio = vision["mlp_ratio"]
    flat = {name: value for name, value in text.items() if name not in ("mrope_section", "rope")}
    if text["rope"] != "mrope":  # an ablation's switch; published files do not have it
        flat["rope"] = text["rope"]
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **flat,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "initializer_range": config["initializer_range"],
        "rope_scaling": {"type": "mrope", "mrope_section": list(text["mrope_section"])},
        "use_sliding_window": False,
        "use_cache": True,
        **{theirs: tokens[ours] for ours, theirs in TOKEN_KEYS.items()},
        "vision_config": {
            "model_type": "qwen2_vl",
            "hidden_act": "quick_gelu",
            "in_chans": vision["in_channels"],
            "spatial_patch_size": vision["patch_size"],
            **{name: value for name, value in vision.items() if name not in ("image_mean", "image_std")},
            "mlp_ratio": int(ratio) if ratio == int(ratio) else ratio,  # transformers refuses 4.0
        },
    }
