"""Recomputing of activations and compiling, applied to the layers of a model from outside."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    noop_context_fn,
)

from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.train_config import Recompute

log = logging.getLogger(__name__)

CPU_COMPILERS = tuple(filter(None, (os.environ.get("CXX"), "g++", "clang++")))
"""Commands of which torch needs one to compile layers for the CPU."""
KEPT_OPERATIONS = frozenset(
    {
        "aten::mm",
        "aten::addmm",
        "aten::_scaled_dot_product_flash_attention",
        "aten::_scaled_dot_product_efficient_attention",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "torch_attn::_varlen_attn",
        "qwen2vl::attend_packed",
    }
)
"""Operations whose results selective recomputing keeps: they are slow, and everything between them is fast and large."""


def layers_of(model: Qwen2VL) -> Iterator[nn.Module]:
    """Blocks of the tower, then layers of the decoder."""
    yield from model.visual.blocks
    yield from model.model.layers


def recompute(model: Qwen2VL, mode: Recompute) -> None:
    """Let layers drop their activations and compute them again in the backward pass.

    A frozen tower has no backward pass, so nothing of it is dropped or computed twice.
    """
    for layer in layers_of(model):
        if mode != "none":
            layer.forward = partial(_recomputed, layer.forward, mode == "selective")


def _recomputed(forward: Callable[..., torch.Tensor], is_selective: bool, *arguments: Any) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return forward(*arguments)
    context = partial(create_selective_checkpoint_contexts, _policy) if is_selective else noop_context_fn
    return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=context)


def _policy(_: Any, operation: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation.name() in KEPT_OPERATIONS else CheckpointPolicy.PREFER_RECOMPUTE


def compile_layers(model: Qwen2VL, backend: str = "inductor") -> None:
    """Compile every layer separately, for rows of any length; warn instead where there is no compiler for the CPU."""
    if model.device.type == "cpu" and not any(map(shutil.which, CPU_COMPILERS)):
        log.warning(
            "no C++ compiler was found, so layers are not compiled and training takes about twice as long: install g++"
        )
        return
    for layer in layers_of(model):
        layer.compile(dynamic=True, backend=backend)
