"""What a stage needs, before anything is built: parameters, memory by part, work; from a model on the meta device.

weights, masters, moments       for the whole stage
activations, loss, backward     come and go with every row; see `kept`
gradients, gradient sums        the model's live until they are collected in float32, over the rows of a step
data ahead, checkpoint copy     in the host's memory, which on a CPU is the same
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.forecast import Forecast
from qwen2vl.data.loader import AHEAD
from qwen2vl.model.checkpoint.load import free_bytes
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.costs import decoder_terms, tower_flops
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.activation_memory import Row, kept_by, learning_of
from qwen2vl.training.loss import CHUNK_LOGITS
from qwen2vl.training.parts import count_parameters, is_adapter, passes_of, set_trained, trained_parameters
from qwen2vl.training.train_config import Part, Stage, TrainConfig

ELEMENT = {"bf16": 2, "fp32": 4}
"""Bytes of a number."""
TEXT_BYTES = 40
"""Of a token of a row: id, label, positions."""
SLOPES = 4
"""Results of the widest product of a layer that its backward pass holds at one time (measured)."""
ON_DEVICE = (
    "weights", "masters", "moments", "gradients", "gradient_sums", "activations", "loss", "backward", "update",
)  # fmt: skip
ON_HOST = ("data_ahead", "checkpoint_copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one process, by part. Not all parts exist at the same time: see `device`."""

    weights: int
    """In the run's precision."""
    masters: int
    """Trained weights in float32, where the model itself is in bf16."""
    moments: int
    """AdamW's."""
    gradients: int
    """In bf16, until they are collected."""
    gradient_sums: int
    """In float32."""
    activations: int
    """What autograd keeps of one row, and the row."""
    loss: int
    """One chunk of logits, and the gradients of the head."""
    backward: int
    """The layer that the backward pass is in: computed again where recomputing is on, and its slopes."""
    update: int
    """The largest parameter once more, in float32."""
    data_ahead: int
    """Packs of two steps, and those that are read meanwhile."""
    checkpoint_copy: int
    accumulated: bool
    """Whether a step has several rows, whose gradients are summed."""

    @property
    def device(self) -> int:
        """At the fullest moment: in the head of a row or the first layer behind it, or in the update."""
        row = self.activations + max(self.loss, self.backward)
        moments = [self.gradient_sums + self.update]
        moments += [self.gradient_sums + max(row, self.gradients)] if self.accumulated else [row]
        return self.weights + self.masters + self.moments + max(moments)

    @property
    def host(self) -> int:
        return self.data_ahead + self.checkpoint_copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Of one stage in one of its processes."""

    stage: Stage
    parameters: Mapping[Part, tuple[int, int]]
    """(all, trained)."""
    row: Row
    memory: Memory
    full: Forecast
    """Work of the stage if all packs were full."""


def estimate(
    model: Qwen2VL,
    stage: Stage,
    config: TrainConfig,
    settings: MediaSettings,
    device: torch.device,
    *,
    processes: int = 1,
    num_workers: int = 1,
) -> Estimate:
    """At the budgets of a stage: no row can hold more. model: on the meta device; is set to train what the stage does."""
    set_trained(model, stage.rates)
    packs = math.ceil(stage.packs_per_step / processes)
    settings = settings.with_limits(stage.min_pixels, stage.max_pixels)
    row = Row.full(stage.budgets, min(packs, config.packs_per_row), settings)
    return Estimate(
        stage=stage,
        parameters=count_parameters(model),
        row=row,
        memory=memory_of(model, config, row, packs, device.type, num_workers),
        full=full_packs(model, stage, row),
    )


def memory_of(model: Qwen2VL, config: TrainConfig, row: Row, packs: int, device: str, num_workers: int) -> Memory:
    """Of a process that runs rows like this one over its packs of a step, with the weights that require a gradient now."""
    element, text = ELEMENT[config.precision], model.config.text
    parameters = dict(model.named_parameters())
    learnt = dict(trained_parameters(model))
    head_learns = model.lm_head.weight.requires_grad
    count = sum(parameter.numel() for parameter in learnt.values())
    all_weights = sum(parameter.numel() for parameter in parameters.values())
    adapted = any(map(is_adapter, parameters))
    saved_as_is = 0 if adapted else all_weights - count
    kept = kept_by(model, row, config.recompute, element, device)
    row_bytes = row.patches * model.config.vision.patch_dim + row.tokens * TEXT_BYTES
    moments = 8 * count + 4 * len(learnt)
    ahead = 2 * packs + (max(packs, AHEAD * num_workers) if num_workers else 0)
    return Memory(
        weights=element * all_weights,
        masters=4 * count * (element < 4),
        moments=moments,
        gradients=element * count * (element < 4),
        gradient_sums=4 * count,
        activations=kept.total + row_bytes,
        loss=_loss_bytes(row.tokens, text.hidden_size, text.vocab_size, element, head_learns),
        backward=kept.again + SLOPES * element * _widest(model, row),
        update=4 * max(parameter.numel() for parameter in learnt.values()),
        data_ahead=ahead * row_bytes // min(packs, config.packs_per_row),
        checkpoint_copy=4 * count + element * saved_as_is + moments,
        accumulated=packs > config.packs_per_row,
    )


def _loss_bytes(rows: int, width: int, vocabulary: int, element: int, trained: bool) -> int:
    """Of the head, if every token is supervised: a chunk of logits twice, and the gradients of its input and weight."""
    chunk = min(rows * vocabulary, CHUNK_LOGITS)
    return 8 * chunk + 2 * element * rows * width + trained * (4 + element) * width * vocabulary


def _widest(model: Qwen2VL, row: Row) -> int:
    """Numbers that the widest product with gradients results in, over the row."""
    vision, text, learning = model.config.vision, model.config.text, learning_of(model)
    block = row.patches * int(vision.embed_dim * vision.mlp_ratio) * (learning["tower"] != "silent")
    return max(block, row.tokens * text.intermediate_size * (learning["decoder"] != "silent"))


def full_packs(model: Qwen2VL, stage: Stage, row: Row) -> Forecast:
    """Work of a stage whose packs are all full, with frames as in the row: an upper bound, and all there is without a store."""
    packs = stage.steps * stage.packs_per_step
    per_token, per_pair, _ = decoder_terms(model.config)
    passes, budgets = passes_of(stage.rates), stage.budgets
    visual = min(budgets.visual_tokens, budgets.tokens)
    per_patch = tower_flops(model.config.vision, (1, 2, row.frame // 2)) / row.frame
    tower = model.config.vision.merge_unit * visual * per_patch
    decoder = per_token * budgets.tokens + per_pair * budgets.tokens**2
    return Forecast(
        steps=stage.steps,
        packs=packs,
        samples=packs,
        tokens=packs * budgets.tokens,
        visual_tokens=packs * visual,
        flops=packs * (passes.tower * tower + passes.decoder * decoder),
        drawn={},
    )


@dataclass(frozen=True, slots=True)
class Shortage:
    """Bytes that a stage needs of a place that has fewer free."""

    place: torch.device
    needed: int
    free: int
    parts: tuple[str, ...]
    """Of `Memory`, that lie there."""


def shortage_of(memory: Memory, device: torch.device) -> Shortage | None:
    """What this machine lacks now; None where a stage fits, or the system does not say."""
    host = torch.device("cpu")
    beside = memory.host if device == host else 0
    on_device = (*ON_DEVICE, *ON_HOST) if beside else ON_DEVICE
    for place, needed, parts in ((device, memory.device + beside, on_device), (host, memory.host, ON_HOST)):
        free = free_bytes(place)
        if free is not None and needed > free:
            return Shortage(place, needed, free, parts)
    return None


def refuse_too_large(found: Estimate, device: torch.device) -> None:
    """Raises ConfigError when a stage needs more memory than there is now."""
    lacking = shortage_of(found.memory, device)
    if lacking is None:
        return
    part = max(lacking.parts, key=lambda name: getattr(found.memory, name))
    raise ConfigError(
        f'stage "{found.stage.name}" needs {lacking.needed / 1e9:.2f} GB of {lacking.place}, which has '
        f"{lacking.free / 1e9:.2f} GB free, most of it for {part.replace('_', ' ')} "
        f"({getattr(found.memory, part) / 1e9:.2f} GB): {_remedy(part)}; qwen2vl plan shows all parts"
    )


def _remedy(part: str) -> str:
    if part in ("activations", "loss", "backward"):
        return "let a pack hold less, or recompute more (--train.recompute full)"
    if part == "data_ahead":
        return "let a pack hold less, take fewer packs a step, or train with more processes"
    return "train fewer parts, an adapter, or a smaller model"
