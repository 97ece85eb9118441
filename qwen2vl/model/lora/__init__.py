"""Low-rank adapters (LoRA): a few small matrices are trained instead of the whole model, and can be merged into it.

    Qwen2VL --add_adapter (adapted_layers)--> Qwen2VL with LoraLinear layers --merge_adapter--> Qwen2VL
    Qwen2VL with LoraLinear layers --save_adapter (adapter_files)--> directory --load_adapter--> the same again
    checkpoint + directory --load_merged--> Qwen2VL, or with `adapter_edit` --checkpoint.convert--> another checkpoint

All that training needs to know is which parameters require a gradient.
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
from qwen2vl.model.lora.adapter_files import adapter_edit, check_merged, load_adapter, load_merged, save_adapter

__all__ = [
    "DECODER_TARGETS",
    "TOWER_TARGETS",
    "LoraConfig",
    "LoraLinear",
    "adapter_edit",
    "adapter_state",
    "add_adapter",
    "check_merged",
    "load_adapter",
    "load_merged",
    "merge_adapter",
    "save_adapter",
]
