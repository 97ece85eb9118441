"""Adapters on disk, in the layout of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`.

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight      [rank, in]
    base_model.model.visual.blocks.0.attn.qkv.lora_B.weight             [out, rank]

The names between are those of the base's tensors: both published namings are read, the original one is written.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint.load import find_tensors, load_model
from qwen2vl.model.checkpoint.names import count, first, newer_name
from qwen2vl.model.checkpoint.save import appearing_whole, write_json
from qwen2vl.model.checkpoint.tensor_files import StoredTensor, list_file, opened, read_tensor
from qwen2vl.model.lora.adapted_layers import (
    PARTS,
    LoraConfig,
    adapter_layers,
    adapter_state,
    attach,
    choose_layers,
    folded,
    is_one_of,
    merge_adapter,
    refuse_adapted,
)
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.hub_config import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
BASE = "base_fingerprint"
"""Entry of the tensor file's metadata that tells the base; PEFT writes none."""

SAMPLE = 256
"""Leading numbers of every parameter that a base is recognised by: all of them would take seconds for 2B."""

_INERT = {
    "r", "lora_alpha", "target_modules", "task_type", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "peft_version", "auto_mapping", "megatron_core", "qalora_group_size",
}  # fmt: skip
"""Fields of PEFT that are read here by name, or that change no answer."""
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian"),  # others change the base weights, which are not saved
}
_OFF: tuple[Any, ...] = (None, False, "", [], {})
"""What any other field must be: something else switches a feature on that is not built here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAdapter:
    """An adapter whose files fit a model, not yet read."""

    directory: Path
    config: LoraConfig
    pairs: dict[str, tuple[StoredTensor, StoredTensor]]
    """Layer name in the plain model to A [rank, in] and B [out, rank]."""
    base: str | None
    """Fingerprint of the weights that it was trained on; None = not recorded."""

    def read(self, name: str) -> tuple[Tensor, Tensor]:
        a, b = self.pairs[name]
        return read_tensor(a), read_tensor(b)


def save_adapter(model: Qwen2VL, directory: str | Path) -> None:
    """Write the adapter that a model carries, without the model.

    The directory appears whole or not at all; it must not exist, or be empty. Raises ConfigError when there is no
    adapter, CheckpointError when it cannot be written.
    """
    layers = adapter_layers(model)
    layer = next(iter(layers.values()))
    content = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": layer.rank,
        "lora_alpha": layer.alpha,
        "target_modules": sorted({".".join(name.split(".")[-2:]) for name in layers}),  # `attn.proj`: not the patches'
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }
    tensors = {PREFIX + name: tensor.cpu().contiguous() for name, tensor in adapter_state(model).items()}
    frozen = (parameter for name, parameter in model.named_parameters() if ".lora_" not in name)
    with appearing_whole(Path(directory)) as folder:
        write_json(folder / CONFIG, content)
        (folder / WEIGHTS).write_bytes(save(tensors, {"format": "pt", BASE: fingerprint(frozen)}))


def load_adapter(model: Qwen2VL, directory: str | Path) -> None:
    """Put a saved adapter on a model in place, in its precision and on its device; training may go on.

    From then on only the adapter's parameters require a gradient. Raises ConfigError when the model carries an adapter
    already or the adapter's config asks for what is not built here, CheckpointError when files or tensors are missing,
    extra, misshapen or of another base.
    """
    refuse_adapted(model)
    found = find_adapter(model, directory)
    refuse_other_base(found, model.parameters())
    attach(model, {name: found.read(name) for name in found.pairs}, found.config.alpha)


def load_merged(
    source: str | Path,
    adapter: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Qwen2VL:
    """`load_model` with the adapter of a directory folded in, if one is given: a plain model.

    The adapter is looked at first: a wrong one is told at once and not after minutes of loading. Raises what
    `load_model` and `load_adapter` raise.
    """
    if adapter is None:
        return load_model(source, device=device, dtype=dtype)
    with torch.device("meta"):
        find_adapter(Qwen2VL(Qwen2VLConfig.load(source)), adapter)
    model = load_model(source, device=device, dtype=dtype)
    load_adapter(model, adapter)
    merge_adapter(model)
    return model


def folding(source: str | Path, adapter: str | Path) -> Callable[[str, Tensor], Tensor]:
    """For `checkpoint.convert`: (parameter name, tensor of `source`) to the tensor with the adapter folded in.

    Float32 where the adapter changes something, the very tensor elsewhere. Raises like `load_merged`.
    """
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.load(source))
    found = find_adapter(model, adapter)
    stored, match = find_tensors(model, resolve_source(source))
    refuse_other_base(found, (read_tensor(stored[name]) for _, name in match.tensors))

    def fold(name: str, tensor: Tensor) -> Tensor:
        layer, _, leaf = name.rpartition(".")
        if leaf != "weight" or layer not in found.pairs:
            return tensor
        return folded(tensor, *found.read(layer), found.config.alpha / found.config.rank)

    return fold


def find_adapter(model: Qwen2VL, directory: str | Path) -> FoundAdapter:
    """Pair every layer that an adapter's config names with its two tensors. A model on meta will do.

    Raises like `load_adapter`, but for another base.
    """
    folder = Path(directory)
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise CheckpointError(f'"{folder}" has no {file}: give the directory of an adapter, with both of its files')
    config, layers = read_config(folder / CONFIG, model)
    stored = {tensor.name: tensor for tensor in list_file(folder / WEIGHTS)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in layers.items():
        shapes[f"{name}.lora_A.weight"] = (config.rank, layer.in_features)
        shapes[f"{name}.lora_B.weight"] = (layer.out_features, config.rank)
    tensors = match_names(shapes, stored, folder)
    with opened(folder / WEIGHTS) as file:
        base = (file.metadata() or {}).get(BASE)
    pairs = {name: (tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]) for name in layers}
    return FoundAdapter(directory=folder, config=config, pairs=pairs, base=base)


def match_names(
    shapes: dict[str, tuple[int, ...]], stored: dict[str, StoredTensor], folder: Path
) -> dict[str, StoredTensor]:
    """Every name with its one tensor of the right shape and no tensor over. Raises CheckpointError that counts them."""
    found = {name: [n for n in (PREFIX + name, PREFIX + newer_name(name)) if n in stored] for name in shapes}
    pairs = {name: stored[names[0]] for name, names in found.items() if len(names) == 1}
    problems = {
        "lacks {}": [PREFIX + name for name, names in found.items() if not names],
        "has {} too many": sorted(set(stored) - {name for names in found.values() for name in names}),
        "has {} under two names": [PREFIX + name for name, names in found.items() if len(names) > 1],
        "has {} of another shape": [
            f"{tensor.name} {list(tensor.shape)} instead of {list(shapes[name])}"
            for name, tensor in pairs.items()
            if tensor.shape != shapes[name]
        ],
    }
    told = [phrase.format(count(names)) + f" ({first(names)})" for phrase, names in problems.items() if names]
    if told:
        raise CheckpointError(
            f'the adapter "{folder}" {", ".join(told)}: its tensors must be exactly those that its {CONFIG} asks for on '
            "this model, so give both files of the same adapter and the base that it was trained on"
        )
    return pairs


def read_config(path: Path, model: Qwen2VL) -> tuple[LoraConfig, dict[str, nn.Linear]]:
    """What PEFT's `adapter_config.json` says, and the layers that it means in this model.

    Raises ConfigError for anything that would change an answer unseen.
    """
    content = read_json(path)
    for field in ("peft_type", "r", "lora_alpha", "target_modules"):
        if field not in content:
            raise ConfigError(f'"{path}" has no {field}: copy the file of the adapter again')
    for field, value in content.items():
        allowed = _ALLOWED.get(field, _OFF)
        if field not in _INERT and value not in allowed:
            raise ConfigError(
                f'"{path}" sets {field} to {json.dumps(value)}: only {" or ".join(map(json.dumps, allowed))} can be '
                "read here, so merge that adapter with the program that made it"
            )
    ends = content["target_modules"]
    names = [name for name, _ in model.named_modules() if isinstance(ends, list) and is_one_of(name, ends)]
    parts = tuple(part for part, begin in PARTS.items() if any(name.startswith(begin) for name in names))
    try:
        config = LoraConfig(
            rank=content["r"],
            alpha=content["lora_alpha"],
            targets=tuple(ends) if isinstance(ends, list) else ends,
            parts=parts or tuple(PARTS),
        )
        return config, choose_layers(model, config)
    except ConfigError as error:
        raise ConfigError(f'"{path}": {error}') from error


def fingerprint(parameters: Iterable[Tensor]) -> str:
    """SHA-256 over the beginning of every parameter, rounded to bf16: the same in whatever precision a base is loaded."""
    digest = hashlib.sha256()
    for parameter in parameters:
        sample = parameter.detach().flatten()[:SAMPLE].to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def refuse_other_base(found: FoundAdapter, parameters: Iterable[Tensor]) -> None:
    if found.base is not None and found.base != fingerprint(parameters):
        raise CheckpointError(
            f'the adapter "{found.directory}" was trained on other weights than those of this model: give the '
            "checkpoint that it was trained on"
        )
