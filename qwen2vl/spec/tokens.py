"""Special tokens of the Qwen2-VL family: names are fixed, ids belong to a tokenizer [paper 1.5]."""

from dataclasses import dataclass

ENDOFTEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
REF_START = "<|object_ref_start|>"
REF_END = "<|object_ref_end|>"
BOX_START = "<|box_start|>"
BOX_END = "<|box_end|>"
QUAD_START = "<|quad_start|>"
QUAD_END = "<|quad_end|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
VISION_PAD = "<|vision_pad|>"
IMAGE_PAD = "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"

SPECIAL_TOKENS = (
    ENDOFTEXT, IM_START, IM_END, REF_START, REF_END, BOX_START, BOX_END, QUAD_START, QUAD_END,
    VISION_START, VISION_END, VISION_PAD, IMAGE_PAD, VIDEO_PAD,
)  # fmt: skip
"""All special tokens, in the order of the published ids 151643 to 151656."""

GROUNDING_TOKENS = (REF_START, REF_END, BOX_START, BOX_END, QUAD_START, QUAD_END)
"""The only special tokens that an assistant's text may contain."""

IGNORED = -100
"""Label of a token that is not supervised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """Ids that the model itself uses; all other ids matter to the tokenizer only."""

    bos: int = 151643
    """`<|endoftext|>`; called bos in the published files, never added before a prompt."""
    eos: int = 151645
    """`<|im_end|>`, the end of a reply."""
    vision_start: int = 151652
    vision_end: int = 151653
    vision_pad: int = 151654
    image_pad: int = 151655
    """Placeholder of one merged patch of an image."""
    video_pad: int = 151656
    """Placeholder of one merged patch of a video."""
