"""Which weights a stage trains: the model by parts, named from outside."""

from collections.abc import Iterator

from torch import nn

from qwen2vl.data.lengths import Passes
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.train_config import PARTS, Part, Rates


def part_of(parameter: str) -> Part:
    """Part of a parameter by its name."""
    if parameter.startswith("visual.merger."):
        return "merger"
    return "tower" if parameter.startswith("visual.") else "decoder"


def is_adapter(parameter: str) -> bool:
    return ".lora_A." in parameter or ".lora_B." in parameter


def set_trained(model: Qwen2VL, rates: Rates) -> None:
    """Let gradients reach the parts with a rate, and no others; of a model with adapters, only their adapters."""
    by_part = rates.by_part()
    adapted = any(is_adapter(name) for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(by_part[part_of(name)] > 0 and (is_adapter(name) or not adapted))


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def count_parameters(model: nn.Module) -> dict[Part, tuple[int, int]]:
    """(all, trained) parameters of every part; works on the meta device."""
    counts = dict.fromkeys(PARTS, (0, 0))
    for name, parameter in model.named_parameters():
        everything, learning = counts[part_of(name)]
        added = parameter.numel()
        counts[part_of(name)] = everything + added, learning + added * parameter.requires_grad
    return counts


def passes_of(rates: Rates) -> Passes:
    """Work of a step by part, for the costs of packs and for MFU."""
    sees_gradient = bool(rates.tower or rates.merger)
    return Passes(
        tower=3 if rates.tower else 1,
        decoder=3 if rates.decoder else 2 if sees_gradient else 1,
    )
