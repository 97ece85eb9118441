"""Estimate of a stage before anything is built: parameters, memory by part, work; from a model on the meta device.

weights, masters, moments       exist during the whole stage
activations, loss, backward     exist while a row runs; see `activation_memory`
gradients, gradient sums        those of one row until they are collected; their float32 sums over the rows of a step
data ahead, checkpoint copy     in the memory of the host, which for a CPU is the memory of the device
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
from qwen2vl.training.activation_memory import Row, activation_memory, gradient_use
from qwen2vl.training.loss import CHUNK_LOGITS
from qwen2vl.training.parts import count_parameters, is_adapter, passes_of, set_trained, trained_parameters
from qwen2vl.training.train_config import Part, Stage, TrainConfig

TOKEN_BYTES = 40
"""Bytes of one token of a row in `ModelInputs`: id, label, three positions."""
LIVE_PRODUCTS = 4
"""Number of tensors as large as the widest product of a layer that its backward pass holds at one time (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one process, by part. Not all parts exist at the same time: see `device`."""

    weights: int
    """The model, in the run's precision."""
    masters: int
    """float32 copies of the trained weights, where the model itself is in bf16."""
    moments: int
    """AdamW's state."""
    gradients: int
    """Gradients in bf16, until they are collected."""
    gradient_sums: int
    """Collected gradients in float32."""
    activations: int
    """The inputs of one row, and the tensors that autograd keeps for its backward pass."""
    loss: int
    """One chunk of logits, and the gradients of the head."""
    backward: int
    """The layer that the backward pass is in: its gradients, and with recomputing its activations."""
    update: int
    """A float32 copy of the largest parameter."""
    data_ahead: int
    """Packs of two steps, and those that the workers read meanwhile."""
    checkpoint_copy: int
    """The copy of all saved tensors while a checkpoint is written."""
    accumulated: bool
    """Whether a step has several rows, whose gradients are added."""

    @property
    def device(self) -> int:
        """Most bytes at one time: in the head of a row, in the layer before it, or in the update."""
        row = self.activations + max(self.loss, self.backward)
        peaks = [self.gradient_sums + self.update]
        peaks += [self.gradient_sums + max(row, self.gradients)] if self.accumulated else [row]
        return self.weights + self.masters + self.moments + max(peaks)

    @property
    def host(self) -> int:
        return self.data_ahead + self.checkpoint_copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Needs of one stage in each of its processes."""

    stage: Stage
    parameters: Mapping[Part, tuple[int, int]]
    """Number of parameters by part, (all, trained)."""
    row: Row
    """The largest row that the budgets allow."""
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
    """Estimate what a stage needs when its rows are as large as its budgets allow.

    model: on the meta device; the parts that the stage trains are set in it.
    """
    set_trained(model, stage.rates)
    packs = math.ceil(stage.packs_per_step / processes)
    settings = settings.with_limits(stage.min_pixels, stage.max_pixels, stage.max_tokens)
    row = Row.full(stage.budgets, min(packs, config.packs_per_row), settings)
    return Estimate(
        stage=stage,
        parameters=count_parameters(model),
        row=row,
        memory=memory_of(model, config, row, packs, device.type, num_workers),
        full=full_packs(model, stage, row),
    )


def memory_of(model: Qwen2VL, config: TrainConfig, row: Row, packs: int, device: str, num_workers: int) -> Memory:
    """Memory of a process that runs such rows over its packs of a step, with the weights that require a gradient now."""
    element_bytes = {"bf16": 2, "fp32": 4}[config.precision]
    parameters, trained = dict(model.named_parameters()), dict(trained_parameters(model))
    num_all, num_trained = (sum(each.numel() for each in found.values()) for found in (parameters, trained))
    num_saved_frozen = 0 if any(map(is_adapter, parameters)) else num_all - num_trained
    kept = activation_memory(model, row, config.recompute, element_bytes, device)
    row_bytes = row.patches * model.config.vision.patch_dim + row.tokens * TOKEN_BYTES
    moments = 8 * num_trained + 4 * len(trained)
    packs_ahead = 2 * packs + (max(packs, AHEAD * num_workers) if num_workers else 0)
    return Memory(
        weights=element_bytes * num_all,
        masters=4 * num_trained * (element_bytes < 4),
        moments=moments,
        gradients=element_bytes * num_trained * (element_bytes < 4),
        gradient_sums=4 * num_trained,
        activations=kept.total + row_bytes,
        loss=_loss_bytes(model, row.tokens, element_bytes),
        backward=kept.recomputed + LIVE_PRODUCTS * element_bytes * _widest_product(model, row),
        update=4 * max(parameter.numel() for parameter in trained.values()),
        data_ahead=packs_ahead * row_bytes // min(packs, config.packs_per_row),
        checkpoint_copy=4 * num_trained + element_bytes * num_saved_frozen + moments,
        accumulated=packs > config.packs_per_row,
    )


def _loss_bytes(model: Qwen2VL, tokens: int, element_bytes: int) -> int:
    """Bytes of the head if every token is supervised: a chunk of logits twice, and the gradients of its input and weight."""
    text, is_trained = model.config.text, model.lm_head.weight.requires_grad
    chunk = min(tokens * text.vocab_size, CHUNK_LOGITS)
    input_bytes = 2 * element_bytes * tokens * text.hidden_size
    return 8 * chunk + input_bytes + is_trained * (4 + element_bytes) * text.hidden_size * text.vocab_size


def _widest_product(model: Qwen2VL, row: Row) -> int:
    """Numbers in the largest result of a product that gradients pass through, over the row."""
    vision, text, uses = model.config.vision, model.config.text, gradient_use(model)
    block = row.patches * int(vision.embed_dim * vision.mlp_ratio) * (uses["tower"] != "none")
    return max(block, row.tokens * text.intermediate_size * (uses["decoder"] != "none"))


def full_packs(model: Qwen2VL, stage: Stage, row: Row) -> Forecast:
    """Work of a stage whose packs are all full, with frames as in the row: an upper bound, for when there is no store yet."""
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
    """A place that has fewer bytes free than a stage needs there."""

    place: torch.device
    needed: int
    free: int
    parts: tuple[str, ...]
    """Fields of `Memory` in this place."""


def shortage_of(memory: Memory, device: torch.device) -> Shortage | None:
    """The memory that is missing on this machine now; None if the stage fits or the system does not report its free memory."""
    host = torch.device("cpu")
    on_host = ("data_ahead", "checkpoint_copy")
    on_device = (
        "weights", "masters", "moments", "gradients", "gradient_sums", "activations", "loss", "backward", "update",
    )  # fmt: skip
    places = [(device, memory.device, on_device), (host, memory.host, on_host)]
    if device == host:
        places = [(host, memory.device + memory.host, (*on_device, *on_host))]
    for place, needed, parts in places:
        free = free_bytes(place)
        if free is not None and needed > free:
            return Shortage(place, needed, free, parts)
    return None


def refuse_too_large(found: Estimate, device: torch.device) -> None:
    """Raise ConfigError when a stage needs more memory than is free now, with its largest part and the remedy."""
    shortage = shortage_of(found.memory, device)
    if shortage is None:
        return
    part = max(shortage.parts, key=lambda name: getattr(found.memory, name))
    remedy = "train fewer parts, an adapter, or a smaller model"
    if part in ("activations", "loss", "backward"):
        remedy = "let a pack hold less, or recompute more (--train.recompute full)"
    elif part == "data_ahead":
        remedy = "let a pack hold less, take fewer packs a step, or train with more processes"
    raise ConfigError(
        f'stage "{found.stage.name}" needs {shortage.needed / 1e9:.2f} GB of {shortage.place}, which has '
        f"{shortage.free / 1e9:.2f} GB free, most of it for {part.replace('_', ' ')} "
        f"({getattr(found.memory, part) / 1e9:.2f} GB): {remedy}; qwen2vl plan shows all parts"
    )
