"""Adapters in files, in the layout of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`.

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight      [rank, in]
    base_model.model.visual.blocks.0.attn.qkv.lora_B.weight             [out, rank]

The middle of each name is the name of the layer in a checkpoint: both published namings are read, the original one is
written.
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
from qwen2vl.model.checkpoint.load import check_model, find_tensors
from qwen2vl.model.checkpoint.names import match_tensors, newer_name
from qwen2vl.model.checkpoint.save import new_directory, write_json
from qwen2vl.model.checkpoint.tensor_files import StoredTensor, list_file, open_tensors
from qwen2vl.model.lora.adapted_layers import (
    PARTS,
    LoraConfig,
    adapter_layers,
    adapter_state,
    attach,
    choose_layers,
    ends_with,
    merge_adapter,
    merged_weight,
    refuse_adapted,
)
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.hub_config import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
FINGERPRINT = "base_fingerprint"
"""Metadata of the tensor file: `fingerprint` of the base that the adapter was trained on. PEFT writes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAdapter:
    """An adapter whose files fit a model. Its tensors are not read yet."""

    directory: Path
    config: LoraConfig
    pairs: dict[str, tuple[StoredTensor, StoredTensor]]
    """A [rank, in] and B [out, rank] of each layer, by its name in the plain model."""
    base: str | None
    """Fingerprint of the weights that it was trained on; None = not recorded."""

    def read(self, name: str) -> tuple[Tensor, Tensor]:
        """A [rank, in] and B [out, rank] of one layer."""
        a, b = self.pairs[name]
        return a.read(), b.read()

    def refuse_other_base(self, parameters: Iterable[Tensor]) -> None:
        """Raise CheckpointError if the parameters of a model are not those that the adapter was trained on."""
        if self.base is not None and self.base != fingerprint(parameters):
            raise CheckpointError(
                f'the adapter "{self.directory}" was trained on other weights than those of this model: give the '
                "checkpoint that it was trained on"
            )


def save_adapter(model: Qwen2VL, directory: str | Path) -> None:
    """Write the adapter of a model, without the model.

    The directory appears complete or not at all; it must not exist, or be empty. Raises ConfigError when there is no
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
    with new_directory(Path(directory)) as folder:
        write_json(folder / CONFIG, content)
        (folder / WEIGHTS).write_bytes(save(tensors, {"format": "pt", FINGERPRINT: fingerprint(frozen)}))


def load_adapter(model: Qwen2VL, directory: str | Path) -> None:
    """Add a saved adapter to a model, in place, in its precision and on its device; training may continue.

    From now on only the adapter's parameters require a gradient. Raises ConfigError when the model has an adapter
    already or the adapter's config has a setting that is not supported, CheckpointError when files or tensors are
    missing, extra, misshapen or belong to another base.
    """
    refuse_adapted(model)
    found = find_adapter(model, directory)
    found.refuse_other_base(model.parameters())
    attach(model, {name: found.read(name) for name in found.pairs}, found.config.alpha)


def load_merged(
    source: str | Path,
    adapter: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Qwen2VL:
    """Load a model with the adapter of a directory merged in, if one is given: `load_model`, and a plain model.

    The adapter is checked first, so that a wrong one is refused at once and not after minutes of loading. Raises what
    `load_model` and `load_adapter` raise.
    """
    return check_merged(source, adapter, device, dtype)()


def check_merged(
    source: str | Path,
    adapter: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Callable[[], Qwen2VL]:
    """Everything that `load_merged` does before it reads tensors; the function that is returned reads them, once.

    Raises what `load_merged` raises, but an adapter of another base is only recognised when the tensors are read.
    """
    if adapter is None:
        return check_model(source, device, dtype).read
    with torch.device("meta"):
        find_adapter(Qwen2VL(Qwen2VLConfig.load(source)), adapter)
    unread = check_model(source, device, dtype)

    def read() -> Qwen2VL:
        model = unread.read()
        load_adapter(model, adapter)
        merge_adapter(model)
        return model

    return read


def adapter_edit(source: str | Path, adapter: str | Path) -> Callable[[str, Tensor], Tensor]:
    """The `edit` with which `checkpoint.convert` merges an adapter into the checkpoint `source`.

    It takes a parameter's name and its tensor in `source`, and returns a float32 tensor if the adapter changes it,
    otherwise the same tensor. Raises like `load_merged`.
    """
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.load(source))
    found = find_adapter(model, adapter)
    stored, match = find_tensors(model, resolve_source(source))
    found.refuse_other_base(stored[name].read() for _, name in match.tensors)

    def edit(name: str, tensor: Tensor) -> Tensor:
        layer, _, leaf = name.rpartition(".")
        if leaf != "weight" or layer not in found.pairs:
            return tensor
        return merged_weight(tensor, *found.read(layer), found.config.alpha / found.config.rank)

    return edit


def find_adapter(model: Qwen2VL, directory: str | Path) -> FoundAdapter:
    """Pair every layer that an adapter's config names with its two tensors. Accepts a model on meta.

    Raises like `load_adapter`, but does not look at the base.
    """
    folder = Path(directory)
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            if (folder / "adapter" / file).is_file():
                raise CheckpointError(f'"{folder}" is the folder of a run and no adapter: give "{folder / "adapter"}"')
            raise CheckpointError(f'"{folder}" has no {file}: give the directory of an adapter, with both of its files')
    config, layers = read_config(folder / CONFIG, model)
    stored = {tensor.name: tensor for tensor in list_file(folder / WEIGHTS)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in layers.items():
        shapes[f"{name}.lora_A.weight"] = (config.rank, layer.in_features)
        shapes[f"{name}.lora_B.weight"] = (layer.out_features, config.rank)
    names = match_tensors(
        [((PREFIX + name, PREFIX + newer_name(name)), shape) for name, shape in shapes.items()],
        {name: tensor.shape for name, tensor in stored.items()},
        f'the adapter "{folder}"',
        f"its {CONFIG} asks for on this model, so give both files of the same adapter and the base that it was trained on",
    )
    tensors = {name: stored[found] for name, found in zip(shapes, names, strict=True)}
    pairs = {name: (tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]) for name in layers}
    with open_tensors(folder / WEIGHTS) as file:
        base = (file.metadata() or {}).get(FINGERPRINT)
    return FoundAdapter(directory=folder, config=config, pairs=pairs, base=base)


HARMLESS = {
    "r", "lora_alpha", "target_modules", "task_type", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "peft_version", "auto_mapping", "megatron_core", "qalora_group_size",
}  # fmt: skip
"""Fields of PEFT's config that `read_config` reads by name, or that change no answer."""


def read_config(path: Path, model: Qwen2VL) -> tuple[LoraConfig, dict[str, nn.Linear]]:
    """Contents of PEFT's `adapter_config.json`, and the layers of this model that it names.

    Raises ConfigError for any setting that would change an answer and is not supported.
    """
    content = read_json(path)
    for field in ("peft_type", "r", "lora_alpha", "target_modules"):
        if field not in content:
            raise ConfigError(f'"{path}" has no {field}: copy the file of the adapter again')
    supported: dict[str, tuple[Any, ...]] = {
        "peft_type": ("LORA",),
        "bias": ("none",),
        "init_lora_weights": (True, False, "gaussian"),  # others change the base weights, which are not saved
    }
    for field, value in content.items():
        allowed = supported.get(field, (None, False, "", [], {}))  # any other value switches a feature on
        if field not in HARMLESS and value not in allowed:
            raise ConfigError(
                f'"{path}" sets {field} to {json.dumps(value)}: only {" or ".join(map(json.dumps, allowed))} can be '
                "read here, so merge that adapter with the program that made it"
            )
    targets = content["target_modules"]
    names = [name for name, _ in model.named_modules() if isinstance(targets, list) and ends_with(name, targets)]
    parts = tuple(part for part, begin in PARTS.items() if any(name.startswith(begin) for name in names))
    try:
        config = LoraConfig(
            rank=content["r"],
            alpha=content["lora_alpha"],
            targets=tuple(targets) if isinstance(targets, list) else targets,
            parts=parts or tuple(PARTS),
        )
        return config, choose_layers(model, config)
    except ConfigError as error:
        raise ConfigError(f'"{path}": {error}') from error


def fingerprint(parameters: Iterable[Tensor]) -> str:
    """SHA-256 over the first 256 numbers of every parameter (all of them would take seconds for 2B).

    They are rounded to bf16, so that it is the same in every precision in which a base is loaded.
    """
    digest = hashlib.sha256()
    for parameter in parameters:
        sample = parameter.detach().flatten()[:256].to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
