"""One reply in the making: its tokens, the text that is certain so far, and the reason why it ends.

Ends, in the order in which they are looked at: an end token ("stop"), a stop text ("stop"), going in circles
("repetition"), the limit of new tokens or of the context ("length"). "interrupted" comes from outside.
"""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from qwen2vl.inference.sampling import Sampler, SamplingParams
from qwen2vl.processing.tokenizer import StreamDecoder, Tokenizer
from qwen2vl.spec.inputs import ModelInputs

FinishReason = Literal["stop", "length", "repetition", "interrupted"]

LONGEST_UNIT = 256
FEWEST_ROUNDS = 16
FEWEST_TOKENS = 256


class StoppingText:
    """Ids to text that may be shown: what could still turn out to be a stop text is held back."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = StreamDecoder(tokenizer)
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False

    def push(self, id: int) -> str:
        """Text that this id makes certain. A stop text and everything after it never appear."""
        return self._release(self._decoder.push(id), at_end=False)

    def finish(self) -> str:
        """What was held back, because nothing follows any more."""
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
    """Length of the longest end of `text` with which `stop` begins: "red E" and "END" give 1."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class LoopDetector:
    """Finds replies that go round in circles, as reading of pages sometimes does.

    The rule: the reply ends with one unit of at most 256 tokens that stands there 16 times or more without a gap and
    fills at least 256 tokens. So one token must come 256 times, a line of 20 tokens 16 times. Rules of dashes, dotted
    leaders, runs of empty cells and a refrain stay under that. Costs a comparison of 256 numbers per token.
    """

    def __init__(self) -> None:
        self._recent = np.full(LONGEST_UNIT, -1, np.int64)  # newest first
        self._runs = np.zeros(LONGEST_UNIT, np.int64)  # [p-1]: how many tokens in a row equal the one p before them
        units = np.arange(1, LONGEST_UNIT + 1)
        self._needed = np.maximum(FEWEST_TOKENS, FEWEST_ROUNDS * units) - units

    def push(self, id: int) -> bool:
        """Whether the reply, with this token, goes in circles."""
        self._runs = np.where(self._recent == id, self._runs + 1, 0)
        self._recent = np.roll(self._recent, 1)
        self._recent[0] = id
        return bool((self._runs >= self._needed).any())


class Reply:
    """One document that is being answered."""

    def __init__(
        self, prompt: ModelInputs, settings: SamplingParams, tokenizer: Tokenizer, end_ids: Collection[int]
    ) -> None:
        """`settings` as `SamplingParams.effective` gives them."""
        self.prompt = prompt
        self.settings = settings
        self.sampler = Sampler(settings, prompt.ids)
        self.ids: list[int] = []
        """Tokens of the reply, the end token included."""
        self.finish_reason: FinishReason | None = None
        self._end_ids = frozenset(end_ids)
        self._text = StoppingText(tokenizer, settings.stop)
        self._loops = LoopDetector()
        self._first_position = int(prompt.positions.max()) + 1

    @property
    def position(self) -> int:
        """Where the newest token stands, on all three axes [paper 3.4]."""
        return self._first_position + len(self.ids) - 1

    def accept(self, id: int) -> str:
        """Take the next token; returns the text that it makes certain."""
        assert self.finish_reason is None, "the reply has ended"
        self.ids.append(id)
        if id in self._end_ids:
            self.finish_reason = "stop"
            return self._text.finish()
        piece = self._text.push(id)
        self.finish_reason = self._reason(id)
        return piece + self._text.finish() if self.finish_reason else piece

    def _reason(self, id: int) -> FinishReason | None:
        if self._text.is_stopped:
            return "stop"
        if self.settings.detect_repetition and self._loops.push(id):
            return "repetition"
        return "length" if len(self.ids) >= self.settings.max_new_tokens else None
