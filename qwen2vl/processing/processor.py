"""The processor: converts a conversation with images and videos into `ModelInputs`.

    messages -> parse (messages) -> spans (chat_template) -> pixels of every slot (sources, images, video) -> ids -> positions

Sizes come from `spec`; nothing here knows the model. `Processor.decode_answer` and `grounding` are the way back.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from qwen2vl.common.errors import ConfigError, MessageError
from qwen2vl.processing import chat_template as chat
from qwen2vl.processing.declared_tools import actions_of
from qwen2vl.processing.images import patchify, resize
from qwen2vl.processing.messages import ImagePart, VideoPart, parse_messages
from qwen2vl.processing.sources import read_image
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.processing.video import read_video
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.positions import mrope_positions
from qwen2vl.spec.resize import image_size

Conversation = Sequence[Mapping[str, Any]]
"""One conversation in the public message form, see `messages`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Sizes and tokens of one image or video of a conversation."""

    kind: Literal["image", "video"]
    original_size: tuple[int, int]
    """Width and height of the upright original in pixels; boxes in pixels refer to it."""
    resized: tuple[int, int]
    """Width and height in pixels after resizing."""
    grid: tuple[int, int, int]
    """(time, rows, columns) in patches."""
    num_tokens: int
    """Number of placeholders in the text, without the start and end tokens."""
    digest: str
    """SHA-256 of the resized pixels and their shape: equal digests are equal inputs of the tower. "" when not computed."""
    num_frames: int = 1
    timestamps_s: tuple[float, ...] = ()
    """Time of each chosen frame in seconds from the beginning of the video; empty for images."""


LoadedMedia = tuple[MediaInfo, NDArray[np.uint8]]
"""One image or video and its patches [P, 1176]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """Inputs of one conversation, and a description of its media."""

    inputs: ModelInputs
    media: tuple[MediaInfo, ...]
    """One entry per image or video in textual order, as in `inputs.grids`."""
    prefill: str = ""
    """The beginning of the reply, which the prompt ends with."""
    acts: bool = False
    """Whether the system message declares actions that the reply may call."""

    def loaded_media(self) -> list[LoadedMedia]:
        """All images and videos with their patches, as views of the patches of `inputs`."""
        ends = np.cumsum([0, *(math.prod(info.grid) for info in self.media)])
        patches = self.inputs.patches.numpy()
        return [(info, patches[ends[i] : ends[i + 1]]) for i, info in enumerate(self.media)]


class Processor:
    """Converts conversations into `ModelInputs`, with the limits and the tokenizer of one checkpoint."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        config: Qwen2VLConfig,
        settings: MediaSettings | None = None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """allowed_hosts: hosts from which http(s) sources may be loaded; none by default.

        Raises ConfigError when tokenizer and config are of different checkpoints.
        """
        tokenizer.check_ids(config.tokens)
        if tokenizer.size > config.text.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.size} ids but the model's vocab_size is {config.text.vocab_size}: "
                "use config and tokenizer of the same checkpoint"
            )
        self.tokenizer = tokenizer
        self.config = config
        self.settings = settings or MediaSettings()
        self.allowed_hosts = tuple(allowed_hosts)

    def __call__(
        self,
        messages: Conversation | Sequence[Conversation],
        add_generation_prompt: bool = True,
        add_vision_id: bool = False,
        with_labels: bool = False,
        tools: Sequence[Any] | None = None,
        continue_final_message: bool = False,
    ) -> ModelInputs:
        """Inputs of one conversation, or of a list of conversations packed into one row. The arguments: `prepare`.

        Raises MessageError, MediaError.
        """
        is_batch = isinstance(messages, Sequence) and bool(messages) and isinstance(messages[0], (list, tuple))
        batch = messages if is_batch else [messages]
        rows = [
            self.prepare(
                conversation,  # type: ignore[arg-type]  # one of the two forms, chosen above
                add_generation_prompt=add_generation_prompt,
                add_vision_id=add_vision_id,
                with_labels=with_labels,
                with_digests=False,
                tools=tools,
                continue_final_message=continue_final_message,
            ).inputs
            for conversation in batch
        ]
        return rows[0] if len(rows) == 1 else pack(rows)

    def prepare(
        self,
        messages: Conversation,
        add_generation_prompt: bool = True,
        add_vision_id: bool = False,
        with_labels: bool = False,
        with_digests: bool = True,
        earlier: PreparedPrompt | None = None,
        tools: Sequence[Any] | None = None,
        continue_final_message: bool = False,
    ) -> PreparedPrompt:
        """Inputs of one conversation, and a description of its images and videos.

        Args:
            add_generation_prompt: end with the start of a reply.
            add_vision_id: write "Picture 1: " before the first image, and so on.
            with_labels: supervise the assistant's replies.
            with_digests: compute digests of media, 2 ms of about 15 ms per megapixel for an undecoded image.
            earlier: the result for a shorter version of this conversation; its media are not opened again.
            tools: functions in the shape of the OpenAI API, declared in the system message in the agent format.
            continue_final_message: end inside the last message, which is of the assistant, so that the reply continues it.

        Raises MessageError, MediaError.
        """
        parsed = parse_messages(messages)
        if tools:
            parsed = chat.declare_tools(parsed, actions_of(list(tools)))
        if continue_final_message and parsed[-1].role != "assistant":
            raise MessageError(
                f'the last message has the role "{parsed[-1].role}": only a message of the "assistant" can be continued'
            )
        prefill = chat.reply_text(parsed[-1]) if continue_final_message else ""
        spans = chat.render(
            parsed,
            add_generation_prompt=add_generation_prompt,
            add_vision_id=add_vision_id,
            continue_final_message=continue_final_message,
        )
        loaded = [] if earlier is None else earlier.loaded_media()
        loaded += [self.load_media(part, with_digests) for part in chat.media_parts(spans)[len(loaded) :]]
        media = tuple(info for info, _ in loaded)
        tokens = chat.tokenise(spans, self.tokenizer, [info.num_tokens for info in media], with_labels)
        inputs = self.assemble(tokens.ids, tokens.labels, loaded)
        return PreparedPrompt(inputs=inputs, media=media, prefill=prefill, acts=chat.declares_actions(parsed))

    def assemble(
        self, ids: NDArray[np.int64], labels: NDArray[np.int64] | None, media: Sequence[LoadedMedia]
    ) -> ModelInputs:
        """One document from its ids [T], with one placeholder per visual token, and its images and videos.

        Raises MessageError when placeholders and media do not match.
        """
        grids = np.array([info.grid for info, _ in media], np.int64).reshape(-1, 3)
        return ModelInputs(
            ids=torch.from_numpy(ids),
            positions=torch.from_numpy(mrope_positions(ids, grids, self.config)),
            segments=torch.tensor([0, len(ids)], dtype=torch.int32),
            patches=torch.from_numpy(_join([patches for _, patches in media], self.config.vision.patch_dim)),
            grids=torch.from_numpy(grids),
            labels=None if labels is None else torch.from_numpy(labels),
        )

    def with_settings(self, settings: MediaSettings) -> "Processor":
        """A copy with other limits of images and videos."""
        return Processor(self.tokenizer, self.config, settings, self.allowed_hosts)

    def decode_answer(self, ids: Sequence[int]) -> str:
        """Text of a reply: markup of boxes and references is kept, end tokens and other control tokens are removed."""
        return self.tokenizer.decode(ids)

    def save(self, directory: str | Path) -> None:
        """Write tokenizer, chat template and preprocessor files in the hub layout."""
        folder = Path(directory)
        self.tokenizer.save(
            folder,
            model_max_length=self.config.text.max_position_embeddings,
            chat_template=chat.CHAT_TEMPLATE,
        )
        (folder / "chat_template.jinja").write_text(chat.CHAT_TEMPLATE, encoding="utf-8")
        files = {
            "preprocessor_config.json": self.settings.image_file(),
            "video_preprocessor_config.json": self.settings.video_file(),
        }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def load_media(self, part: ImagePart | VideoPart, with_digest: bool = False) -> LoadedMedia:
        """Open, resize and cut one image or video. Raises MediaError."""
        if isinstance(part, ImagePart):
            image = read_image(part.source, self.settings, self.allowed_hosts)
            height, width = image_size(image.height, image.width, self.settings, part.options)
            # torch's number of threads: all cores, but one in a worker process.
            frames = np.asarray(resize(image, height, width, threads=torch.get_num_threads()))[None]
            return self._info("image", frames, image.size, with_digest), patchify(frames)
        video = read_video(part.source, self.settings, part.options, self.allowed_hosts)
        info = self._info("video", video.frames, video.original_size, with_digest, video.timestamps_s)
        return info, patchify(video.frames)

    def _info(
        self,
        kind: Literal["image", "video"],
        frames: NDArray[np.uint8],
        original_size: tuple[int, int],
        with_digest: bool,
        timestamps_s: tuple[float, ...] = (),
    ) -> MediaInfo:
        num_frames, height, width, _ = frames.shape
        vision = self.config.vision
        slices = -(-num_frames // vision.temporal_patch_size)
        grid = (slices, height // vision.patch_size, width // vision.patch_size)
        return MediaInfo(
            kind=kind,
            original_size=original_size,
            resized=(width, height),
            grid=grid,
            num_tokens=grid[0] * grid[1] * grid[2] // vision.merge_unit,
            digest=_digest(frames) if with_digest else "",
            num_frames=num_frames,
            timestamps_s=timestamps_s,
        )


def load_processor(
    source: str | Path = "nano",
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    allowed_hosts: Sequence[str] = (),
    max_tokens: int | None = None,
) -> Processor:
    """Processor of the packaged "nano" or of a checkpoint directory; None keeps its own limit.

    min_pixels, max_pixels: area of an image after resizing. max_tokens: tokens of a video.

    Raises ConfigError, CheckpointError.
    """
    config = Qwen2VLConfig.load(source)  # first: its error says when there is no checkpoint
    return Processor(
        tokenizer=Tokenizer.load(resolve_source(source)),
        config=config,
        settings=MediaSettings.load(source).with_limits(min_pixels, max_pixels, max_tokens),
        allowed_hosts=allowed_hosts,
    )


def _join(patches: list[NDArray[np.uint8]], patch_dim: int) -> NDArray[np.uint8]:
    if len(patches) == 1:
        return patches[0]  # the usual case; not copied, because a video can have 77 MB
    return np.concatenate([np.zeros((0, patch_dim), np.uint8), *patches])


def _digest(frames: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(repr(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()
