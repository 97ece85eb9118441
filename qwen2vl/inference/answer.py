"""One answer, from its first token to the result that the caller receives.

    tokens --RunningReply.accept--> text that is certain, the reason to end --RunningReply.to_answer--> Answer

`RunningReply` is the state while the model runs, `Answer` the result. A reply ends, in this order of checks, with an end token
("stop"), a stop text ("stop"), a loop ("repetition") or at the limit of new tokens or of the context ("length").
"interrupted" means that the caller stopped it; "tool_calls" is a stop after calls of tools, whose results come next.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from qwen2vl.inference.sampling import Sampler, SamplingParams
from qwen2vl.processing.agent_text import parse_reply
from qwen2vl.processing.grounding import Box, Point, parse_places
from qwen2vl.processing.processor import MediaInfo
from qwen2vl.processing.tokenizer import StreamDecoder, Tokenizer
from qwen2vl.processing.tool_calls import ToolCall, calls_of, message_of
from qwen2vl.spec.inputs import ModelInputs

FinishReason = Literal["stop", "tool_calls", "length", "repetition", "interrupted"]

LONGEST_UNIT = 256
FEWEST_ROUNDS = 16
FEWEST_TOKENS = 256
"""The rule of `LoopDetector`, in tokens and copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Number of tokens of one request."""

    prompt_tokens: int
    """The whole prompt, including visual and cached tokens."""
    completion_tokens: int
    """Tokens that the model chose, including the end token."""
    visual_tokens: int
    """Placeholders of images and videos in the prompt, without the start and end token of each."""
    cached_tokens: int = 0
    """Tokens of the prompt whose keys and values were kept from an earlier turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of the model to one request."""

    text: str
    """The new text, with the marks of references and boxes and without end tokens. A reply that was begun continues `prefill`."""
    boxes: tuple[Box, ...]
    """Boxes that the text names, in pixels of the original image.

    `image_index` counts the images of the conversation from 0. Markup does not say which image it means:
    "Picture 2" or "image 2" in the words before it decides, otherwise it is the last image. If there are only videos, they
    are counted.
    """
    points: tuple[Point, ...]
    """Points that the text names, in the same form."""
    finish_reason: FinishReason
    """"stop", "tool_calls", "length", "repetition" (see `LoopDetector`) or "interrupted"."""
    usage: Usage
    settings: SamplingParams
    """The settings that were in effect: with the seed that was used, and with limits cut to the context."""
    media_sizes: tuple[MediaInfo, ...]
    """Size, grid and tokens of every image and video, in textual order."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that the reply makes; always empty when neither `tools` nor the system message declare any."""
    prefill: str = ""
    """The beginning of the reply that the caller gave; places and calls are read from it and `text` together."""

    @property
    def message(self) -> dict[str, Any]:
        """The assistant's message, to be added to the conversation; calls are in the shape of the OpenAI API."""
        return message_of(self.prefill + self.text, self.tool_calls)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys that `docs/cli.md` lists; times and coordinates are rounded to three digits."""
        return {
            "text": self.text,
            "boxes": [rounded(asdict(box)) for box in self.boxes],
            "points": [rounded(asdict(point)) for point in self.points],
            "tool_calls": [call.to_openai() for call in self.tool_calls],
            "prefill": self.prefill,
            "finish_reason": self.finish_reason,
            "usage": asdict(self.usage),
            "settings": asdict(self.settings),
            "media": [
                {
                    "kind": info.kind,
                    "original_size": info.original_size,
                    "resized": info.resized,
                    "grid": info.grid,
                    "num_tokens": info.num_tokens,
                    "num_frames": info.num_frames,
                    "timestamps_s": rounded(info.timestamps_s),
                }
                for info in self.media_sizes
            ],
        }


def rounded(value: Any) -> Any:
    """Plain data with every float rounded to three digits: 0.1 + 0.2 is 0.3, and no video has more than 1,000 frames a second."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


class RunningReply:
    """The reply to one prompt while the model produces it."""

    def __init__(
        self,
        prompt: ModelInputs,
        settings: SamplingParams,
        tokenizer: Tokenizer,
        end_ids: Collection[int],
        prefill: str = "",
        acts: bool = False,
    ) -> None:
        """`settings` must come from `SamplingParams.effective`. prefill: the beginning of the reply, in the prompt already.
        acts: read calls of actions."""
        self.prompt = prompt
        self._prefill, self._acts = prefill, acts
        self.settings = settings
        self.sampler = Sampler(settings, prompt.ids)
        self.ids: list[int] = []
        """Tokens of the reply, including the end token."""
        self.finish_reason: FinishReason | None = None
        self._end_ids = frozenset(end_ids)
        self._text = StoppingText(tokenizer, settings.stop)
        self._loops = LoopDetector()
        self._first_position = int(prompt.positions.max()) + 1

    @property
    def position(self) -> int:
        """Position of the newest token, equal on all three axes [paper 3.4]."""
        return self._first_position + len(self.ids) - 1

    def accept(self, id: int) -> str:
        """Take the next token; returns the text that becomes certain with it, which may be empty."""
        assert self.finish_reason is None, "the reply has ended"
        self.ids.append(id)
        if id in self._end_ids:
            self.finish_reason = "stop"
            return self._text.finish()
        piece = self._text.push(id)
        if self._text.is_stopped:
            self.finish_reason = "stop"
        elif self.settings.detect_repetition and self._loops.push(id):
            self.finish_reason = "repetition"
        elif len(self.ids) >= self.settings.max_new_tokens:
            self.finish_reason = "length"
        return piece + self._text.finish() if self.finish_reason else piece

    def to_answer(self, text: str, media: Sequence[MediaInfo], cached_tokens: int = 0) -> Answer:
        """The result. A reply that has not ended counts as interrupted."""
        images = [info.original_size for info in media if info.kind == "image"]
        whole = self._prefill + text
        places = parse_places(whole, images or [info.original_size for info in media])
        calls = calls_of(parse_reply(whole)) if self._acts else ()
        reason = self.finish_reason or "interrupted"
        return Answer(
            text=text,
            boxes=places.boxes,
            points=places.points,
            finish_reason="tool_calls" if calls and reason == "stop" else reason,
            usage=Usage(
                prompt_tokens=self.prompt.num_tokens,
                completion_tokens=len(self.ids),
                visual_tokens=sum(info.num_tokens for info in media),
                cached_tokens=cached_tokens,
            ),
            settings=self.settings,
            media_sizes=tuple(media),
            tool_calls=calls,
            prefill=self._prefill,
        )


class StoppingText:
    """Decoder from ids to text that ends before a stop text.

    Text that could be the beginning of a stop text is held back until the next tokens decide.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = StreamDecoder(tokenizer)
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False

    def push(self, id: int) -> str:
        """Text that becomes certain with this id. A stop text and everything after it never appear."""
        return self._release(self._decoder.push(id), at_end=False)

    def finish(self) -> str:
        """Text that was held back; call it after the last id."""
        return "" if self.is_stopped else self._release(self._decoder.finish(), at_end=True)

    def _release(self, new: str, *, at_end: bool) -> str:
        text = self._held + new
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        keep = 0 if at_end else max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is also the beginning of `stop`: "red E" and "END" give 1."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class LoopDetector:
    """Detector of replies that repeat themselves without end, as happens when pages are read.

    The rule: the reply ends with at least 16 copies of one unit of at most 256 tokens, without a gap, and the copies
    fill at least 256 tokens. One token must be repeated 256 times, a line of 20 tokens 16 times. Rules of dashes, dotted
    leaders, runs of empty cells and a refrain stay below that. Costs a comparison of 256 numbers per token.
    """

    def __init__(self) -> None:
        self._recent = np.full(LONGEST_UNIT, -1, np.int64)  # newest first
        self._runs = np.zeros(LONGEST_UNIT, np.int64)  # [p-1]: newest tokens in a row equal to the one p before
        units = np.arange(1, LONGEST_UNIT + 1)
        self._needed = np.maximum(FEWEST_TOKENS, FEWEST_ROUNDS * units) - units

    def push(self, id: int) -> bool:
        """True if the reply, with this token, ends in a loop."""
        self._runs = np.where(self._recent == id, self._runs + 1, 0)
        self._recent = np.roll(self._recent, 1)
        self._recent[0] = id
        return bool((self._runs >= self._needed).any())
