"""What comes back: text, places on the original images, why it ended, what it cost, and what really held."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qwen2vl.inference.replies import FinishReason, Reply
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.processing.grounding import Box, Point, parse_places
from qwen2vl.processing.processor import MediaInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request."""

    prompt_tokens: int
    """The whole prompt, visual and cached tokens included."""
    completion_tokens: int
    """Tokens that the model chose, the end token included."""
    visual_tokens: int
    """Placeholders of images and videos in the prompt, without the two that mark start and end of each."""
    cached_tokens: int = 0
    """Tokens of the prompt whose keys and values were kept from an earlier turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply of the model."""

    text: str
    """Marks of references and boxes included, end tokens not."""
    boxes: tuple[Box, ...]
    """Places that the text names, in pixels of the original image.

    `image_index` counts the images of the conversation from 0. Markup does not say which image it means:
    "Picture 2" in the words before it decides, else it is the last one. Where there are videos only, they are counted.
    """
    points: tuple[Point, ...]
    finish_reason: FinishReason
    """"stop", "length", "repetition" (see `replies.LoopDetector`) or "interrupted"."""
    usage: Usage
    settings: SamplingParams
    """The settings that really held: seed filled in, limits cut to the context."""
    media_sizes: tuple[MediaInfo, ...]
    """What became of every image and video, in textual order."""


def build_answer(text: str, reply: Reply, media: Sequence[MediaInfo], cached_tokens: int = 0) -> Answer:
    """The answer of a reply that has ended, or was left before: then it counts as interrupted."""
    images = [info.original_size for info in media if info.kind == "image"]
    places = parse_places(text, images or [info.original_size for info in media])
    return Answer(
        text=text,
        boxes=places.boxes,
        points=places.points,
        finish_reason=reply.finish_reason or "interrupted",
        usage=Usage(
            prompt_tokens=reply.prompt.num_tokens,
            completion_tokens=len(reply.ids),
            visual_tokens=sum(info.num_tokens for info in media),
            cached_tokens=cached_tokens,
        ),
        settings=reply.settings,
        media_sizes=tuple(media),
    )


def to_json(answer: Answer) -> dict[str, Any]:
    """Plain data with the keys that `docs/cli.md` lists."""
    return {
        "text": answer.text,
        "boxes": [asdict(box) for box in answer.boxes],
        "points": [asdict(point) for point in answer.points],
        "finish_reason": answer.finish_reason,
        "usage": asdict(answer.usage),
        "settings": asdict(answer.settings),
        "media": [
            {
                "kind": info.kind,
                "original_size": info.original_size,
                "resized": info.resized,
                "grid": info.grid,
                "num_tokens": info.num_tokens,
                "num_frames": info.num_frames,
                "timestamps_s": info.timestamps_s,
            }
            for info in answer.media_sizes
        ],
    }
