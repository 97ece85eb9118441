"""The three parts of the model, and which of them a stage trains."""

from collections.abc import Iterator

from torch import nn

from qwen2vl.data.lengths import Passes
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.train_config import PARTS, Part, Rates


def part_of(parameter: str) -> Part:
    """Part that a parameter belongs to, by its name."""
    if parameter.startswith("visual.merger."):
        return "merger"
    return "tower" if parameter.startswith("visual.") else "decoder"


def is_adapter(parameter: str) -> bool:
    """Whether a parameter, by its name, belongs to a LoRA adapter."""
    return ".lora_A." in parameter or ".lora_B." in parameter


def set_trained(model: Qwen2VL, rates: Rates) -> None:
    """Train the parts whose rate is above zero and freeze the others; in a model with adapters, train only the adapters."""
    by_part = rates.by_part()
    has_adapter = any(is_adapter(name) for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(by_part[part_of(name)] > 0 and (is_adapter(name) or not has_adapter))


def trained_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters that require a gradient."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def count_parameters(model: nn.Module) -> dict[Part, tuple[int, int]]:
    """Number of parameters of every part, (all, trained). The model may be on the meta device."""
    counts = dict.fromkeys(PARTS, (0, 0))
    for name, parameter in model.named_parameters():
        total, trained = counts[part_of(name)]
        added = parameter.numel()
        counts[part_of(name)] = total + added, trained + added * parameter.requires_grad
    return counts


def passes_of(rates: Rates) -> Passes:
    """Work of a step per part, in forward passes: 1 forward only, 2 gradients of the activations too, 3 also of the weights.

    The costs of packs and the MFU are counted with it.
    """
    through_decoder = bool(rates.tower or rates.merger)
    return Passes(
        tower=3 if rates.tower else 1,
        decoder=3 if rates.decoder else 2 if through_decoder else 1,
    )
