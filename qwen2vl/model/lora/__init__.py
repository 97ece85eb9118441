"""Low-rank adapters (LoRA): a few small matrices learn in place of the whole model, and can be folded into it.

    Qwen2VL --add_adapter (layers)--> Qwen2VL with LoraLinear layers --merge_adapter--> Qwen2VL
    Qwen2VL with LoraLinear layers --save_adapter (files)--> directory --load_adapter, load_merged--> Qwen2VL

Knows nothing of training but which parameters require a gradient.
"""

from qwen2vl.model.lora.adapted_layers import (
    DECODER_TARGETS,
    TOWER_TARGETS,
    LoraConfig,
    LoraLinear,
    adapter_state,
    add_adapter,
    merge_adapter,
)
from qwen2vl.model.lora.adapter_files import folding, load_adapter, load_merged, save_adapter

__all__ = [
    "DECODER_TARGETS",
    "TOWER_TARGETS",
    "LoraConfig",
    "LoraLinear",
    "adapter_state",
    "add_adapter",
    "folding",
    "load_adapter",
    "load_merged",
    "merge_adapter",
    "save_adapter",
]
