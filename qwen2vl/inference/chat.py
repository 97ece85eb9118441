"""`Chat`: a model with its processor, and four ways to ask it. It keeps nothing between requests; `Session` does.

    messages --processor--> PreparedPrompt --RunningReply--> generate --pieces of text--> Stream --> Answer

Constructing a `Chat` checks the files of the checkpoint. The tensors are read when the first request runs, so an error
in that request (a missing image, a wrong setting) is reported before minutes of loading.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from qwen2vl.common.errors import ConfigError, LengthError, MediaError, MessageError
from qwen2vl.inference.answer import Answer, RunningReply
from qwen2vl.inference.generate import generate, new_cache
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.lora import check_merged
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.agent_text import STOPS, declare
from qwen2vl.processing.declared_tools import actions_of
from qwen2vl.processing.processor import Conversation, PreparedPrompt, Processor, load_processor
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec import resolve_source
from qwen2vl.spec.hub_config import read_json
from qwen2vl.spec.tokens import ENDOFTEXT, IM_END


class Stream:
    """Iterator over the pieces of a reply; afterwards `answer`. The pieces joined are the answer's text.

    Ctrl-C while the model runs reaches the caller as KeyboardInterrupt; `answer` then holds the text so far with the
    finish reason "interrupted", as it does after `close`.
    """

    def __init__(self, pieces: Iterator[str], finish: Callable[[str], Answer]) -> None:
        """`finish` makes the answer from the text of all pieces that were returned."""
        self._pieces = pieces
        self._finish = finish
        self._returned: list[str] = []
        self._answer: Answer | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._answer is not None:
            raise StopIteration
        try:
            for piece in self._pieces:
                if piece:
                    self._returned.append(piece)
                    return piece
        except KeyboardInterrupt:
            self.close()
            raise
        self.close()
        raise StopIteration

    def close(self) -> None:
        """End the reply and keep the text so far; no effect on a stream that has ended."""
        if self._answer is None:
            self._answer = self._finish("".join(self._returned))

    @property
    def answer(self) -> Answer:
        """The whole answer. Reads the rest of the stream if there is any."""
        for _ in self:
            pass
        assert self._answer is not None
        return self._answer


class Chat:
    """A model that answers questions about images and videos."""

    def __init__(
        self,
        source: str | Path = "nano",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        allowed_hosts: Sequence[str] = (),
        adapter: str | Path | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Any] = (),
    ) -> None:
        """Open the packaged "nano" or a checkpoint directory, with the LoRA adapter of a directory merged into it.

        min_pixels, max_pixels: area of an image after resizing. max_tokens: tokens of a video. None keeps the model's own limit.
        tools: functions in the shape of the OpenAI API that every request offers to the model, unless it has its own.

        Checks every file: configs, names and shapes of all tensors, room on the device. Tensors are read by the first
        request. Raises ConfigError, CheckpointError, MessageError for tools of a wrong form.
        """
        self.tools = check_tools(tools)
        self.processor = load_processor(source, min_pixels, max_pixels, allowed_hosts, max_tokens)
        self.end_ids = load_end_ids(source, self.processor.tokenizer)
        self._read_model = check_merged(source, adapter, device, dtype)

    @classmethod
    def from_parts(
        cls, model: Qwen2VL, processor: Processor, end_ids: Sequence[int] | None = None, tools: Sequence[Any] = ()
    ) -> Self:
        """A chat with a model that is in memory already; None = the end tokens of the published checkpoints."""
        chat = cls.__new__(cls)
        chat.processor = processor
        chat.tools = check_tools(tools)
        chat.end_ids = published_end_ids(processor.tokenizer) if end_ids is None else tuple(end_ids)
        chat._read_model = lambda: model
        return chat

    @cached_property
    def model(self) -> Qwen2VL:
        """The model with its weights. The first access reads them. Raises CheckpointError."""
        return self._read_model()

    def ask(
        self,
        question: str | Sequence[Mapping[str, Any]],
        images: Sequence[Any] = (),
        videos: Sequence[Any] = (),
        system: str | None = None,
        prefill: str = "",
        tools: Sequence[Any] | None = None,
        **sampling: Any,
    ) -> Answer:
        """Answer one question; in the prompt, images come first, then videos, then the question.

        question: text, or parts of a message: texts, boxes and points in the last image.
        prefill: the beginning of the reply, which the model continues. `tools` as in `chat`, `sampling` are the fields of
        SamplingParams. Raises MessageError, MediaError, LengthError, ConfigError.
        """
        messages = question_messages(question, images, videos, system) + prefill_messages(prefill)
        return self.chat(messages, tools=tools, continue_final_message=bool(prefill), **sampling)

    def chat(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Any] | None = None,
        continue_final_message: bool = False,
        **sampling: Any,
    ) -> Answer:
        """Answer the last message of a conversation, or continue it if it is the assistant's. Raises the errors of `ask`.

        tools: functions in the shape of the OpenAI API, in place of those of the constructor; `Answer.tool_calls` has the
        calls. continue_final_message: the reply continues the last message, which is the assistant's.
        """
        return self.stream(messages, tools=tools, continue_final_message=continue_final_message, **sampling).answer

    def stream(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Any] | None = None,
        continue_final_message: bool = False,
        **sampling: Any,
    ) -> Stream:
        """Like `chat`, piece by piece. Everything but the model runs before this returns, so errors come at once."""
        params = SamplingParams.from_keywords(sampling)
        return self.stream_prepared(self.prepare(messages, tools, continue_final_message), params)

    def prepare(
        self, messages: Conversation, tools: Sequence[Any] | None, continue_final_message: bool, **options: Any
    ) -> PreparedPrompt:
        """Inputs of a conversation that a reply follows; `options` are further ones of `Processor.prepare`.

        Raises MessageError, MediaError.
        """
        check_conversation(messages, continue_final_message)
        return self.processor.prepare(
            messages,
            tools=self.tools if tools is None else check_tools(tools),
            continue_final_message=continue_final_message,
            **{"with_digests": False} | options,
        )

    def stream_prepared(self, prepared: PreparedPrompt, params: SamplingParams) -> Stream:
        """Like `stream`, for a conversation that the processor has prepared."""
        reply = self.new_reply(prepared, params)
        return Stream(self.run_reply(reply), lambda text: reply.to_answer(text, prepared.media))

    def run_reply(self, reply: RunningReply, cache: KVCache | None = None) -> Iterator[str]:
        """Run the model for one reply; yields text. Tokens of the prompt that `cache` holds are not computed again."""
        if cache is None:
            cache = new_cache(self.model, [reply])
        for _, piece in generate(self.model, [reply], cache, self.processor.tokenizer.size):
            yield piece

    def batch(
        self,
        conversations: Sequence[Conversation],
        batch_size: int = 16,
        *,
        tools: Sequence[Any] | None = None,
        continue_final_message: bool = False,
        **sampling: Any,
    ) -> list[Answer]:
        """Answer many conversations, `batch_size` at a time; each answer is the one that `chat` would give.

        That is exact in fp32; in bf16 the last bits of sums depend on the number of rows in a product. All files of a
        group are read before the model runs. Errors name the conversation, counted from 0.
        """
        params = SamplingParams.from_keywords(sampling)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size!r}: it must be a whole number from 1")
        answers: list[Answer] = []
        for begin in range(0, len(conversations), batch_size):
            group = conversations[begin : begin + batch_size]
            answers += self._batch(group, begin, params, tools, continue_final_message)
        return answers

    def _batch(
        self,
        conversations: Sequence[Conversation],
        begin: int,
        params: SamplingParams,
        tools: Sequence[Any] | None,
        continue_final_message: bool,
    ) -> list[Answer]:
        prepared: list[PreparedPrompt] = []
        replies: list[RunningReply] = []
        for number, messages in enumerate(conversations, begin):
            try:
                prepared.append(self.prepare(messages, tools, continue_final_message))
                replies.append(self.new_reply(prepared[-1], params))
            except (MessageError, MediaError, LengthError) as error:
                raise type(error)(f"conversation {number}: {error}") from error
        texts: list[list[str]] = [[] for _ in replies]
        for i, piece in generate(self.model, replies, new_cache(self.model, replies), self.processor.tokenizer.size):
            texts[i].append(piece)
        return [
            reply.to_answer("".join(pieces), one.media)
            for pieces, reply, one in zip(texts, replies, prepared, strict=True)
        ]

    def new_reply(self, prepared: PreparedPrompt, params: SamplingParams) -> RunningReply:
        """The reply to one prompt, with no tokens yet. Raises LengthError when the prompt does not fit the context."""
        num_tokens, context = prepared.inputs.num_tokens, self.processor.config.text.max_position_embeddings
        if num_tokens >= context:
            raise LengthError(
                f"the prompt has {num_tokens} tokens but the context holds {context}: "
                "ask with smaller images (max_pixels), smaller videos (max_tokens, fps) or less text"
            )
        settings = params.effective(context - num_tokens)
        if prepared.acts:  # what follows a call is written by the program that runs it
            settings = replace(settings, stop=tuple(dict.fromkeys((*settings.stop, *STOPS))))
        return RunningReply(
            prepared.inputs, settings, self.processor.tokenizer, self.end_ids, prepared.prefill, prepared.acts
        )


def question_messages(
    question: str | Sequence[Mapping[str, Any]],
    images: Sequence[Any] = (),
    videos: Sequence[Any] = (),
    system: str | None = None,
    video_options: dict[str, Any] | None = None,
    *,
    is_first: bool = True,
) -> list[dict[str, Any]]:
    """The message form of one question: images, videos, then the text, or the parts (texts, boxes, points) that are given.

    An image or video is a question without words if a system text or an earlier turn (`is_first` false) says what to do
    with it. Raises MessageError for an empty question, and if images or videos are not a list.
    """
    for name, value in (("images", images), ("videos", videos)):
        if not isinstance(value, list | tuple):
            raise MessageError(f"{name} is of type {type(value).__name__}: give a list, [{name[:-1]}]")
    content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
    content += [{"type": "video", "video": video} | (video_options or {}) for video in videos]
    parts = list(question) if isinstance(question, list | tuple) else [{"type": "text", "text": question}]
    if not all(is_blank(part) for part in parts):
        content += parts
    elif not content or (is_first and not (system or "").strip()):
        raise MessageError("the question is empty: ask something in words")
    head = [] if system is None else [{"role": "system", "content": system}]
    return [*head, {"role": "user", "content": content}]


def prefill_messages(prefill: str) -> list[dict[str, Any]]:
    """The message of an assistant that a reply continues; none for an empty text. Raises MessageError."""
    if not isinstance(prefill, str):
        raise MessageError(f"prefill is of type {type(prefill).__name__}: it must be text, the beginning of the reply")
    return [{"role": "assistant", "content": prefill}] if prefill else []


def check_tools(tools: Sequence[Any]) -> tuple[Any, ...]:
    """The tools, if they can be declared. Raises MessageError."""
    if not isinstance(tools, list | tuple):
        raise MessageError(f"tools is of type {type(tools).__name__}: give a list of functions")
    if tools:
        declare(actions_of(list(tools)))
    return tuple(tools)


def check_conversation(messages: Conversation, continue_final_message: bool = False) -> None:
    """Raises MessageError unless the last message is a user's question, the result of an action, or to be continued.

    A question has words, or an image, video, box or point. The form of the messages is checked where they are parsed.
    """
    last = messages[-1] if isinstance(messages, Sequence) and messages else None
    if not isinstance(last, dict) or "content" not in last:
        return
    if continue_final_message or last.get("role") in ("function", "tool"):
        return  # after the result of an action the model continues
    if last.get("role") != "user":
        raise MessageError(
            f'the last message has the role {last.get("role")!r}: a conversation must end with a message of the "user", '
            'or with one of the "assistant" to be continued with continue_final_message=True'
        )
    parts = [{"text": last["content"]}] if isinstance(last["content"], str) else last["content"]
    if isinstance(parts, list | tuple) and all(is_blank(part) for part in parts):
        raise MessageError("the question is empty: ask something in words, or show an image or a video")


def is_blank(part: Any) -> bool:
    """True for a part of a message that is text without a letter; parts of a wrong form are not blank."""
    if not isinstance(part, dict) or set(part) - {"type", "text"}:
        return False
    text = part.get("text")
    return isinstance(text, str) and not text.strip()


def published_end_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """End tokens of the published checkpoints."""
    return (tokenizer.special(IM_END), tokenizer.special(ENDOFTEXT))


def load_end_ids(source: str | Path, tokenizer: Tokenizer) -> tuple[int, ...]:
    """End tokens of `generation_config.json`; the published ones when the file is missing or names none.

    Nothing else of that file is used. Raises ConfigError.
    """
    path = resolve_source(source) / "generation_config.json"
    named = read_json(path).get("eos_token_id") if path.exists() else None
    if named is None:
        return published_end_ids(tokenizer)
    ids = named if isinstance(named, list) else [named]
    if not ids or not all(type(id) is int and 0 <= id < tokenizer.size for id in ids):
        raise ConfigError(
            f'"{path}" has eos_token_id {named}: it must be one id or several, each from 0 to {tokenizer.size - 1}'
        )
    return tuple(ids)
