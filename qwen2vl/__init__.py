"""The Qwen2-VL system: model, data, training, answering.

    from qwen2vl import Chat
    print(Chat().ask("What is this?", images=["photo.jpg"]).text)

The names in `__all__` are public (docs/api.md describes them); everything else is private. They are imported at their
first use, because importing torch takes seconds, which `qwen2vl --version` does not need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen2vl.common.errors import Qwen2VLError
    from qwen2vl.inference.answer import Answer
    from qwen2vl.inference.chat import Chat
    from qwen2vl.model.checkpoint import load_model, save_checkpoint
    from qwen2vl.model.qwen2vl import Qwen2VL
    from qwen2vl.processing.grounding import Box, Point
    from qwen2vl.processing.processor import Processor, load_processor
    from qwen2vl.spec.config import Qwen2VLConfig
    from qwen2vl.spec.costs import MediaPlan, plan_media
    from qwen2vl.spec.inputs import ModelInputs
    from qwen2vl.spec.media_settings import MediaSettings
    from qwen2vl.spec.positions import mrope_positions
    from qwen2vl.spec.resize import smart_resize

__version__ = "0.1.0"

_MODULES = {
    "Answer": "qwen2vl.inference.answer",
    "Box": "qwen2vl.processing.grounding",
    "Chat": "qwen2vl.inference.chat",
    "MediaPlan": "qwen2vl.spec.costs",
    "MediaSettings": "qwen2vl.spec.media_settings",
    "ModelInputs": "qwen2vl.spec.inputs",
    "Point": "qwen2vl.processing.grounding",
    "Processor": "qwen2vl.processing.processor",
    "Qwen2VL": "qwen2vl.model.qwen2vl",
    "Qwen2VLConfig": "qwen2vl.spec.config",
    "Qwen2VLError": "qwen2vl.common.errors",
    "load_model": "qwen2vl.model.checkpoint",
    "load_processor": "qwen2vl.processing.processor",
    "mrope_positions": "qwen2vl.spec.positions",
    "plan_media": "qwen2vl.spec.costs",
    "save_checkpoint": "qwen2vl.model.checkpoint",
    "smart_resize": "qwen2vl.spec.resize",
}

__all__ = [
    "Answer",
    "Box",
    "Chat",
    "MediaPlan",
    "MediaSettings",
    "ModelInputs",
    "Point",
    "Processor",
    "Qwen2VL",
    "Qwen2VLConfig",
    "Qwen2VLError",
    "load_model",
    "load_processor",
    "mrope_positions",
    "plan_media",
    "save_checkpoint",
    "smart_resize",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'qwen2vl' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
