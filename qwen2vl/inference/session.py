"""A conversation of several turns: keys and values of earlier turns are kept, and the tower sees each image once.

What can be kept is found by comparison: the longest common beginning of the old and the new ids, cut at the first image
or video whose pixels are not identical. Everything after it is computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import MessageError
from qwen2vl.inference.answer import Answer
from qwen2vl.inference.chat import Chat, Stream, prefill_messages, question_messages
from qwen2vl.inference.generate import ROOM
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.processing.processor import PreparedPrompt
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.positions import visual_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedRow:
    """The tokens whose keys and values are in a cache."""

    ids: Ints
    digests: tuple[str, ...]
    """`MediaInfo.digest` of every image and video in the row, in textual order."""


def common_prefix(old: CachedRow, new: PreparedPrompt, config: Qwen2VLConfig) -> int:
    """Number of leading tokens of the new prompt that are in the cache; at least the last token is always computed.

    The ids alone do not distinguish images, because all placeholders are equal. The prefix ends before the first image
    whose digest differs, and before an image that lies only partly in it.
    """
    ids = new.inputs.ids.numpy()
    length = min(len(old.ids), len(ids) - 1)
    differs = np.flatnonzero(old.ids[:length] != ids[:length])
    common = int(differs[0]) if len(differs) else length
    spans = visual_spans(ids, new.inputs.grids.tolist(), config)
    for number, (begin, end, _) in enumerate(spans):
        is_cached = number < len(old.digests) and old.digests[number] == new.media[number].digest
        if begin < common and (end > common or not is_cached):
            return begin
    return common


class Session:
    """A conversation of several turns with one `Chat`."""

    def __init__(self, chat: Chat, system: str | None = None) -> None:
        self._chat = chat
        self.system = system
        """The system message of the conversation; `change_system` changes it later."""
        self.reset()

    def reset(self) -> None:
        """Forget all messages and media, but not the system message."""
        self.messages: list[dict[str, Any]] = []
        self._prefill = ""
        self.last: Answer | None = None
        self._row = CachedRow(ids=np.zeros(0, np.int64), digests=())
        self._cache: KVCache | None = None
        self._prepared: PreparedPrompt | None = None

    def ask(
        self,
        question: str | Sequence[Mapping[str, Any]],
        images: Sequence[Any] = (),
        videos: Sequence[Any] = (),
        video_options: dict[str, Any] | None = None,
        prefill: str = "",
        **sampling: Any,
    ) -> Stream:
        """The next turn. It is added to the conversation when its stream ends, is closed or is interrupted.

        prefill: the beginning of the reply, which the model continues.

        Raises MessageError, MediaError, LengthError, ConfigError; the conversation is unchanged then.
        """
        is_first = not self.messages
        system = self.system if is_first else None
        asked = question_messages(question, images, videos, system, video_options, is_first=is_first)
        return self._answer(self.messages + asked, prefill, SamplingParams.from_keywords(sampling))

    def regenerate(self, **sampling: Any) -> Stream:
        """Another reply to the last question, in place of its reply. Raises like `ask`, and MessageError without a reply."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            raise MessageError("there is no reply yet that could be replaced: ask a question first")
        return self._answer(self.messages[:-1], self._prefill, SamplingParams.from_keywords(sampling))

    def change_system(self, system: str | None) -> None:
        """Set the system message for the next turns; None = the default one."""
        self.system = system
        rest = self.messages[1:] if self.messages and self.messages[0]["role"] == "system" else self.messages
        head = [{"role": "system", "content": system}] if system is not None and rest else []
        self.messages = [*head, *rest]

    def restore(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Continue another conversation, which ends with a reply. Opens its images and videos.

        Raises MessageError, MediaError; the present conversation is unchanged then.
        """
        prepared = self._chat.processor.prepare(messages, add_generation_prompt=False)
        if messages[-1]["role"] != "assistant":
            raise MessageError(
                f'the conversation ends with a message of the role "{messages[-1]["role"]}": it must end with a reply'
            )
        self.reset()
        self.messages, self._prepared = [dict(message) for message in messages], prepared
        self.system = self.messages[0]["content"] if self.messages[0]["role"] == "system" else None

    def _answer(self, messages: list[dict[str, Any]], prefill: str, params: SamplingParams) -> Stream:
        prepared = self._chat.prepare(
            [*messages, *prefill_messages(prefill)], None, bool(prefill), earlier=self._prepared, with_digests=True
        )
        reply = self._chat.new_reply(prepared, params)
        cache = self._cache_for(prepared)
        cached_tokens = cache.lengths[0]

        def finish(text: str) -> Answer:
            if reply.ids:  # otherwise the prompt was interrupted, and the cache holds only what was kept of it
                # The newest token was chosen but has not gone through the model.
                self._set_row(np.concatenate([prepared.inputs.ids.numpy(), reply.ids[:-1]]), prepared)
            self._prepared, self._prefill = prepared, prefill
            self.messages = [*messages, {"role": "assistant", "content": prefill + text}]
            self.last = reply.to_answer(text, prepared.media, cached_tokens)
            return self.last

        return Stream(self._chat.run_reply(reply, cache), finish)

    def _cache_for(self, prepared: PreparedPrompt) -> KVCache:
        """The cache, cut to the tokens that the new prompt begins with."""
        model = self._chat.model
        if self._cache is None:
            with torch.inference_mode():
                room = prepared.inputs.num_tokens + ROOM
                self._cache = KVCache(model.config.text, 1, room, device=model.device, dtype=model.dtype)
        common = common_prefix(self._row, prepared, model.config)
        self._cache.truncate(0, common)
        self._set_row(prepared.inputs.ids.numpy()[:common], prepared)
        return self._cache

    def _set_row(self, ids: Ints, prepared: PreparedPrompt) -> None:
        self._row = CachedRow(ids=ids, digests=tuple(info.digest for info in prepared.media))
