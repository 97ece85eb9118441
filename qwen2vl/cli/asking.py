"""Asking a model on the command line: one question, or a conversation with commands that begin with a slash.

Files are opened before tensors are read, so a wrong file is reported at once and not after minutes of loading.
"""

import io
import json as jsonlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from qwen2vl.cli.chat import ChatOptions, check_drawing, parse_region
from qwen2vl.cli.conversation_files import (
    TAKES_FILE,
    complete_with_tab,
    load_conversation,
    save_conversation,
    typed_path,
)
from qwen2vl.cli.options import UsageError, in_terms_of_options, open_named
from qwen2vl.cli.terminal import print_places, print_stream, working
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.files import write_atomically
from qwen2vl.inference.answer import Answer
from qwen2vl.inference.chat import Chat, Stream, prefill_messages, question_messages
from qwen2vl.inference.session import Session
from qwen2vl.processing.chat_template import DEFAULT_SYSTEM
from qwen2vl.processing.drawing import draw
from qwen2vl.processing.grounding import Box, Point, to_thousandths
from qwen2vl.processing.messages import ImagePart, parse_messages
from qwen2vl.processing.sources import image_header, read_image
from qwen2vl.processing.video import video_header
from qwen2vl.spec.costs import kv_bytes_per_token


def answer_once(options: ChatOptions, question: str) -> int:
    """Answer one question; returns the exit code."""
    chat, prefill = open_chat(options), options.prefill or ""
    with working("reading images and videos"):
        images = [open_named(name) for name in options.image]
        videos = [open_named(name) for name in options.video]
        if options.draw is not None or options.box:  # which need the same images again
            images = [read_image(image, chat.processor.settings, chat.processor.allowed_hosts) for image in images]
        regions = [region_in(chat, text, images[-1], "--box") for text in options.box]
        asked = with_regions(question, regions)
        messages = question_messages(asked, images, videos, options.system, options.video_options())
        messages += prefill_messages(prefill)
        stream = chat.stream(messages, continue_final_message=bool(prefill), **options.sampling())
    with working(f"loading {options.model}"):
        chat.model  # noqa: B018  the first access reads the tensors
    started, code = time.monotonic(), 0
    try:
        if options.json:
            with working("answering"):
                stream.answer  # noqa: B018  the first access runs the model
        else:
            print_stream(stream, prefill)
    except KeyboardInterrupt:
        stream.close()
        code = 130
    answer, seconds = stream.answer, time.monotonic() - started
    drawn = [] if options.draw is None else write_drawings(options.draw, images, answer)
    if options.json:
        print(jsonlib.dumps({"model": options.model, **answer.to_json(), "drawn": [str(path) for path in drawn]}))
    else:
        print_places(answer)
        for path in drawn:
            print(f"drawn: {path}", file=sys.stderr)
    if options.verbose:
        usage, settings = answer.usage, answer.settings
        print(
            f"{usage.prompt_tokens} tokens in ({usage.visual_tokens} visual, {usage.cached_tokens} cached), "
            f"{usage.completion_tokens} out, {seconds:.1f} s; temperature {settings.temperature}, seed {settings.seed}",
            file=sys.stderr,
        )
    return code


def open_chat(options: ChatOptions) -> Chat:
    """A chat with the model and limits of the options; its tensors are not read yet. Raises ConfigError, CheckpointError."""
    chat = Chat(
        options.model,
        device=options.device,
        dtype=options.dtype,
        min_pixels=options.min_pixels,
        max_pixels=options.max_pixels,
        allowed_hosts=options.allow_host,
        adapter=options.adapter,
        max_tokens=options.max_tokens,
    )
    if ceilings := options.ceilings():
        chat.processor = chat.processor.with_settings(replace(chat.processor.settings, **ceilings))
    return chat


def write_drawings(path: Path, images: Sequence[Image.Image], answer: Answer) -> list[Path]:
    """Write one file for each image with a place of the answer; without places write nothing and say so.

    The first file is `path`, the next ones OUT-2.png, OUT-3.png. Raises Qwen2VLError when one cannot be written.
    """
    places: list[Box | Point] = [*answer.boxes, *answer.points]
    if not places:
        print(f"nothing drawn: the reply names no place in an image, so {path} was not written", file=sys.stderr)
    marked = sorted({place.image_index for place in places})
    targets = [path if i == 0 else path.with_stem(f"{path.stem}-{i + 1}") for i in range(len(marked))]
    for index, target in zip(marked, targets, strict=True):
        boxes = [box for box in answer.boxes if box.image_index == index]
        points = [point for point in answer.points if point.image_index == index]
        drawing = io.BytesIO()
        draw(images[index], boxes, points).save(drawing, format=Image.registered_extensions()[target.suffix.lower()])
        write_atomically(target, drawing.getvalue())
    return targets


def images_of(messages: Sequence[dict[str, Any]]) -> list[Any]:
    """Sources of the images of a conversation, in textual order."""
    parts = [part for message in parse_messages(messages) for part in message.parts] if messages else []
    return [part.source for part in parts if isinstance(part, ImagePart)]


def region_in(chat: Chat, text: str, image: Any, option: str) -> list[int]:
    """A region in pixels of an image, as thousandths. Raises UsageError when it is malformed or not within the image."""
    region = parse_region(text, option)
    width, height = image_header(image, chat.processor.settings, chat.processor.allowed_hosts)
    if region[2] > width or region[3] > height:
        raise UsageError(f'{option} is "{text}": it must be within the last image, {width}x{height} pixels')
    return list(to_thousandths(region, (width, height)))


def with_regions(question: str, regions: Sequence[Sequence[int]]) -> str | list[dict[str, Any]]:
    """A question with regions in thousandths, each in place of a "{box}", the others before the text."""
    if not regions:
        return question
    texts = question.split("{box}", len(regions))
    boxes = [{"type": "box", "box": list(region)} for region in regions]
    parts = boxes[: len(boxes) - len(texts) + 1]
    for text, box in zip(texts, [*boxes[len(parts) :], None], strict=True):
        parts += [{"type": "text", "text": text}] if text else []
        parts += [box] if box else []
    return parts


HELP = """\
Ask a question, or (Tab completes commands and files):
  /image FILE       show an image with the next question
  /video FILE       show a video with the next question
  /box X1,Y1,X2,Y2  ask about this region of the last image, in pixels; {box} in the question is its place
  /draw OUT.png     write the image with the places of the last reply drawn on it
  /regenerate       another reply to the last question
  /system TEXT      change the system message; without a text, show it
  /save FILE.json   write the conversation
  /load FILE.json   continue a conversation that was saved
  /reset            forget all messages, images and videos
  /cost             tokens and memory so far
  /help             this list
  /quit             end (also Ctrl-D); Ctrl-C ends a reply and keeps its text"""


def converse(options: ChatOptions) -> int:
    """Run a conversation until the user ends it; returns the exit code."""
    chat = open_chat(options)
    conversation = InteractiveChat(chat, options)
    complete_with_tab(conversation.commands)
    with working(f"loading {options.model}"):
        chat.model  # noqa: B018  the first access reads the tensors
    print(f"{options.model} is ready; /help lists the commands.", file=sys.stderr)
    while conversation.is_open:
        try:
            conversation.handle(input("> "))
        except EOFError:
            print(file=sys.stderr)
            break
        except KeyboardInterrupt:  # at the prompt: the line is dropped
            print(file=sys.stderr)
        except Qwen2VLError as error:
            print(in_terms_of_options(str(error)), file=sys.stderr)
    return 0


class InteractiveChat:
    """A session, the files that wait for the next question, and the effect of each line that is typed."""

    def __init__(self, chat: Chat, options: ChatOptions) -> None:
        """Raises MediaError for an image or video of the options that cannot be opened."""
        self.is_open = True
        self._chat = chat
        self._options = options
        self._session = Session(chat, options.system)
        self._images: list[str] = []
        self._videos: list[str] = []
        self._regions: list[list[int]] = []
        self._times_regenerated = 0
        self.commands: dict[str, Callable[[str], None]] = {
            "/image": self._attach_image,
            "/video": self._attach_video,
            "/box": self._attach_region,
            "/draw": self._draw,
            "/regenerate": self._regenerate,
            "/system": self._change_system,
            "/save": self._save,
            "/load": self._load,
            "/reset": self._reset,
            "/cost": self._show_cost,
            "/help": lambda argument: print(HELP, file=sys.stderr),
            "/quit": self._quit,
        }
        for path in options.image:
            self._attach_image(path)
        for path in options.video:
            self._attach_video(path)
        for region in options.box:
            self._attach_region(region)

    def handle(self, line: str) -> None:
        """Run a command or ask a question. After a Qwen2VLError the conversation is unchanged, but without its attached files."""
        line = line.strip()
        is_started = bool(self._session.messages or self._session.system)
        if not line and not (is_started and (self._images or self._videos)):
            return  # an image alone is a question only if something was said before
        if not line.startswith("/"):
            self._ask(line)
            return
        command, _, argument = line.partition(" ")
        if command not in self.commands:
            valid = ", ".join(self.commands)
            raise Qwen2VLError(f"{command} is not a command: valid are {valid}; a question must not begin with a slash")
        argument = argument.strip()
        self.commands[command](typed_path(argument) if command in TAKES_FILE else argument)

    def _ask(self, question: str) -> None:
        images, videos, self._images, self._videos = self._images, self._videos, [], []
        asked, self._regions = with_regions(question, self._regions), []
        options = self._options
        with working("reading images and videos"):
            stream = self._session.ask(asked, images, videos, options.video_options(), **options.sampling())
        self._times_regenerated = 0
        self._show(stream)

    def _show(self, stream: Stream) -> None:
        try:
            print_stream(stream)
        except KeyboardInterrupt:
            stream.close()
        print_places(stream.answer)

    def _attach_image(self, path: str) -> None:
        processor = self._chat.processor
        width, height = image_header(path, processor.settings, processor.allowed_hosts)
        self._images.append(path)
        print(f"{path}: {width}x{height} pixels, shown with the next question", file=sys.stderr)

    def _attach_video(self, path: str) -> None:
        processor = self._chat.processor
        header = video_header(path, processor.settings, processor.allowed_hosts)
        self._videos.append(path)
        size = f"{header.width}x{header.height} pixels, {header.duration_s:.1f} s"
        print(f"{path}: {size}, shown with the next question", file=sys.stderr)

    def _attach_region(self, text: str) -> None:
        shown = [*images_of(self._session.messages), *self._images]
        if not shown:
            raise UsageError(f"/box {text} needs an image: show one with /image first")
        self._regions.append(region_in(self._chat, text, shown[-1], "/box"))
        print(f"{text}: asked about with the next question", file=sys.stderr)

    def _draw(self, path: str) -> None:
        answer, images = self._session.last, images_of(self._session.messages)
        if answer is None or not images:
            raise UsageError("/draw needs a reply about an image: show one with /image and ask for a place in it")
        check_drawing(Path(path), "/draw")
        processor = self._chat.processor
        opened = [read_image(image, processor.settings, processor.allowed_hosts) for image in images]
        for drawn in write_drawings(Path(path), opened, answer):
            print(f"drawn: {drawn}", file=sys.stderr)

    def _regenerate(self, argument: str) -> None:
        options, sampling = self._options, self._options.sampling()
        if options.temperature == 0:
            print("at temperature 0 the reply is always the same: start with --temperature 0.7", file=sys.stderr)
        if options.seed is not None:  # the same seed would give the same reply
            sampling["seed"] = options.seed + self._times_regenerated + 1
        stream = self._session.regenerate(**sampling)
        self._times_regenerated += 1
        self._show(stream)

    def _change_system(self, text: str) -> None:
        if text:
            self._session.change_system(text.strip("\"'"))
        print(f"system message: {self._session.system or DEFAULT_SYSTEM}", file=sys.stderr)

    def _save(self, path: str) -> None:
        save_conversation(Path(path), self._session.messages)
        print(f"saved: {path}", file=sys.stderr)

    def _load(self, path: str) -> None:
        messages = load_conversation(Path(path))
        with working("reading images and videos"):
            self._session.restore(messages)
        self._images, self._videos, self._regions = [], [], []
        print(f"{path}: {len(messages)} messages, continued by the next question", file=sys.stderr)

    def _reset(self, argument: str) -> None:
        self._session.reset()
        self._images, self._videos, self._regions = [], [], []
        print("all forgotten", file=sys.stderr)

    def _show_cost(self, argument: str) -> None:
        answer, config = self._session.last, self._chat.processor.config
        waiting = f"; waiting: {len(self._images)} images, {len(self._videos)} videos"
        if answer is None:
            print(f"no question asked yet{waiting}", file=sys.stderr)
            return
        used = answer.usage.prompt_tokens + answer.usage.completion_tokens
        size = used * kv_bytes_per_token(config, self._chat.model.dtype.itemsize) / 1e6
        print(
            f"{used} of {config.text.max_position_embeddings} tokens, {answer.usage.visual_tokens} of them visual; "
            f"keys and values {size:.2f} MB; the last turn computed "
            f"{answer.usage.prompt_tokens - answer.usage.cached_tokens} tokens of its prompt{waiting}",
            file=sys.stderr,
        )

    def _quit(self, argument: str) -> None:
        self.is_open = False
