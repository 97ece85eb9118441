"""The adapter in the network: a frozen layer W x becomes W x + alpha / rank * B A x.

Only A [rank, in] and B [out, rank] are trained. B starts at zero, so a new adapter changes no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.qwen2vl import Qwen2VL

DECODER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TOWER_TARGETS = ("qkv", "proj", "fc1", "fc2")

PARTS = {"tower": "visual.blocks.", "decoder": "model.layers."}
"""Parts of the model that may have adapters. The patch embedding is in none, so `proj` never means its layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """Size of an adapter, and which linear layers get one. Raises ConfigError for values that make no adapter."""

    rank: int = 16
    alpha: float = 32.0
    """The adapter's output is multiplied by alpha / rank, so that another rank needs no other learning rate."""
    targets: tuple[str, ...] = DECODER_TARGETS
    """Last words of module names: `proj`, or `mlp.fc1`."""
    parts: tuple[str, ...] = ("decoder",)
    """`tower`, `decoder` or both; each must hold at least one of the targets."""

    def __post_init__(self) -> None:
        if type(self.rank) is not int or self.rank < 1:
            raise ConfigError(f"the adapter's rank is {self.rank!r}: it must be a whole number from 1")
        if type(self.alpha) not in (int, float) or not isfinite(self.alpha) or self.alpha <= 0:
            raise ConfigError(f"the adapter's alpha is {self.alpha!r}: it must be a number over 0")
        fields: dict[str, object] = {"targets": self.targets, "parts": self.parts}
        for field, names in fields.items():
            is_tuple = isinstance(names, tuple | list) and names and all(isinstance(n, str) and n for n in names)
            if not is_tuple or len(set(names)) < len(names):  # type: ignore[call-overload,arg-type]
                raise ConfigError(
                    f"the adapter's {field} are {names!r}: give a tuple of names, at least one and none twice"
                )
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ConfigError(f'the adapter\'s part "{unknown[0]}" is unknown: choose of {", ".join(PARTS)}')


class LoraLinear(nn.Module):
    """A linear layer with a low-rank path beside it. The layer keeps its parameters' names, behind `base_layer`."""

    def __init__(self, base_layer: nn.Linear, a: Tensor, b: Tensor, alpha: float) -> None:
        """Copies of a [rank, in] and b [out, rank] become parameters, in the base's precision and on its device."""
        super().__init__()
        self.base_layer = base_layer
        self.lora_A = as_linear(a.to(base_layer.weight, copy=True))
        self.lora_B = as_linear(b.to(base_layer.weight, copy=True))
        self.rank, self.alpha = len(a), alpha

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return self.base_layer(x) + self.lora_B(self.lora_A(x) * (self.alpha / self.rank))


def as_linear(weight: Tensor) -> nn.Linear:
    """A layer with this weight [out, in] and no bias. Built on meta, because the constructor takes random numbers."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight)
    return layer


def add_adapter(model: Qwen2VL, config: LoraConfig, seed: int) -> None:
    """Add a new adapter to a model, in place: from now on only the adapter's parameters require a gradient.

    A is uniform within +-1 / sqrt(in) and depends on config and seed only, not on device or precision; B is zero.
    Raises ConfigError for targets or parts that match nothing, and for a model that has an adapter already.
    """
    refuse_adapted(model)
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, layer in choose_layers(model, config).items():
        noise = torch.rand(config.rank, layer.in_features, generator=generator, device="cpu")
        a = (2 * noise - 1) * layer.in_features**-0.5
        pairs[name] = (a, torch.zeros(layer.out_features, config.rank))
    attach(model, pairs, config.alpha)


def choose_layers(model: Qwen2VL, config: LoraConfig) -> dict[str, nn.Linear]:
    """Name and layer of everything that the config targets, in the order of the module. Accepts a model on meta.

    Raises ConfigError for targets or parts that match nothing.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(tuple(PARTS[part] for part in config.parts))
    }
    chosen = {name: layer for name, layer in layers.items() if ends_with(name, config.targets)}
    unmatched = [target for target in config.targets if not any(ends_with(name, [target]) for name in chosen)]
    if unmatched:
        valid = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
        raise ConfigError(
            f"the adapter's targets {', '.join(unmatched)} match no linear layer of {' and '.join(config.parts)}: "
            f"choose of {valid}"
        )
    empty = [part for part in config.parts if not any(name.startswith(PARTS[part]) for name in chosen)]
    if empty:
        raise ConfigError(
            f"the adapter's part {empty[0]} holds none of the targets {', '.join(config.targets)}: leave the part out "
            "or name targets in it"
        )
    return chosen


def ends_with(name: str, targets: Sequence[str]) -> bool:
    """True if a module's dotted name ends with one of the targets, in whole words: `attn.proj` with `proj`."""
    return any(f".{name}".endswith(f".{target}") for target in targets)


def refuse_adapted(model: Qwen2VL) -> None:
    """Raise ConfigError if the model has an adapter."""
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise ConfigError("the model has an adapter already: fold it in with merge_adapter, or load the model again")


def attach(model: Qwen2VL, pairs: dict[str, tuple[Tensor, Tensor]], alpha: float) -> None:
    """Freeze the model and wrap the named layers with a [rank, in] and b [out, rank]."""
    model.requires_grad_(False)
    for name, (a, b) in pairs.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear), f"{name} is not a linear layer"
        model.set_submodule(name, LoraLinear(layer, a, b, alpha))


def adapter_layers(model: Qwen2VL) -> dict[str, LoraLinear]:
    """Layers with an adapter, by their names in the plain model. Raises ConfigError when there are none."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
    if not found:
        raise ConfigError("the model has no adapter: add one with add_adapter or load_adapter")
    return found


def adapter_state(model: Qwen2VL) -> dict[str, Tensor]:
    """The adapter's parameters alone, detached, by their names in the model: `*.lora_A.weight` and `*.lora_B.weight`.

    Raises ConfigError when the model has no adapter.
    """
    layers = adapter_layers(model).items()
    sides = {f"{name}.{side}.weight": getattr(layer, side) for name, layer in layers for side in ("lora_A", "lora_B")}
    return {name: side.weight.detach() for name, side in sides.items()}


@torch.no_grad()
def merge_adapter(model: Qwen2VL) -> None:
    """Fold the adapter into the weights, in place: a plain model again, as fast as before, every parameter trainable.

    Computed in float32, rounded once to the model's precision. Raises ConfigError when there is no adapter.
    """
    for name, layer in adapter_layers(model).items():
        weight = layer.base_layer.weight
        weight.copy_(merged_weight(weight, layer.lora_A.weight, layer.lora_B.weight, layer.alpha / layer.rank))
        model.set_submodule(name, layer.base_layer)
    model.requires_grad_(True)


def merged_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """weight [out, in] + scale * b [out, rank] @ a [rank, in], in float32."""
    return torch.addmm(weight.float(), b.float(), a.float(), alpha=scale)
