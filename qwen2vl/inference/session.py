"""A conversation that goes on: keys and values of earlier turns stay, the tower sees each image and video once.

What may be kept is decided by comparison, never by trust: the longest common beginning of the old and the new ids, cut
where an image or video is not the very same one, byte for byte. The rest is computed anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qwen2vl.inference.answer import Answer
from qwen2vl.inference.chat import Chat, Stream, check_conversation, question_messages
from qwen2vl.inference.generate import ROOM
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.processing.processor import Prepared
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.positions import visual_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedRow:
    """What the slots of a cache hold."""

    ids: NDArray[np.int64]
    digests: tuple[str, ...]
    """Of the images and videos in the row, in textual order."""


def common_prefix(old: CachedRow, new: Prepared, config: Qwen2VLConfig) -> int:
    """How many tokens of the new prompt an old row stands for; never all of them, since the last one gives the logits.

    The ids alone do not tell images apart: all placeholders are equal. An image whose digest differs, and all after
    it, is new; one that is cut by the end of what is common is new as well.
    """
    ids = new.inputs.ids.numpy()
    length = min(len(old.ids), len(ids) - 1)
    differs = np.flatnonzero(old.ids[:length] != ids[:length])
    common = int(differs[0]) if len(differs) else length
    spans = visual_spans(ids, new.inputs.grids.tolist(), config)
    for number, (begin, end, _) in enumerate(spans):
        is_known = number < len(old.digests) and old.digests[number] == new.media[number].digest
        if begin < common and (end > common or not is_known):
            return begin
    return common


class Session:
    """A conversation of several turns with one `Chat`."""

    def __init__(self, chat: Chat, system: str | None = None) -> None:
        self._chat = chat
        self._system = system
        self.reset()

    def reset(self) -> None:
        """Forget everything that was said and shown."""
        self.messages: list[dict[str, Any]] = []
        self.last: Answer | None = None
        self._row = CachedRow(ids=np.zeros(0, np.int64), digests=())
        self._cache: KVCache | None = None
        self._prepared: Prepared | None = None

    def ask(
        self,
        question: str,
        images: Sequence[Any] = (),
        videos: Sequence[Any] = (),
        video_options: dict[str, Any] | None = None,
        **sampling: Any,
    ) -> Stream:
        """The next turn. It joins the conversation when its stream ends or is closed or interrupted, not before.

        Raises MessageError, MediaError, LengthError, ConfigError.
        """
        params = SamplingParams.from_keywords(sampling)
        system = self._system if not self.messages else None
        messages = self.messages + question_messages(question, images, videos, system, video_options)
        check_conversation(messages)
        prepared = self._chat.processor.prepare(messages, earlier=self._prepared)
        reply = self._chat.new_reply(prepared, params)
        cache = self._cache_for(prepared)

        def ended(answer: Answer) -> None:
            if reply.ids:  # else the prompt itself was interrupted, and only what was kept of it is in the cache
                # The newest token was chosen but has not gone through the model.
                self._remember(np.concatenate([prepared.inputs.ids.numpy(), reply.ids[:-1]]), prepared)
            self._prepared = prepared
            self.messages = [*messages, {"role": "assistant", "content": answer.text}]
            self.last = answer

        return self._chat.stream_reply(reply, prepared.media, cache, ended)

    def _cache_for(self, prepared: Prepared) -> KVCache:
        """The cache, cut down to what it has in common with the new prompt."""
        model = self._chat.model
        if self._cache is None:
            with torch.inference_mode():
                room = prepared.inputs.num_tokens + ROOM
                self._cache = KVCache(model.config.text, 1, room, device=model.device, dtype=model.dtype)
        common = common_prefix(self._row, prepared, model.config)
        self._cache.truncate(0, common)
        self._remember(prepared.inputs.ids.numpy()[:common], prepared)
        return self._cache

    def _remember(self, ids: NDArray[np.int64], prepared: Prepared) -> None:
        self._row = CachedRow(ids=ids, digests=tuple(info.digest for info in prepared.media))
