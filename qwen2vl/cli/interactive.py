"""The conversation on a terminal: questions, and commands that begin with a slash."""

import contextlib
import sys
from collections.abc import Callable

from qwen2vl.cli.chat_options import ChatOptions, sampling_of, video_options_of
from qwen2vl.cli.replies import report, show
from qwen2vl.cli.terminal import working
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.inference.chat import Chat
from qwen2vl.inference.session import Session
from qwen2vl.spec.costs import kv_bytes_per_token

HELP = """\
Ask a question, or:
  /image FILE   show an image with the next question
  /video FILE   show a video with the next question
  /reset        forget what was said and shown
  /cost         tokens and memory so far
  /help         this list
  /quit         end (also Ctrl-D); Ctrl-C ends a reply and keeps its text"""


def converse(options: ChatOptions) -> int:
    """Talk until the user ends it."""
    with contextlib.suppress(ImportError):  # not there on every system
        import readline  # noqa: F401  gives input() a history and editing
    with working(f"loading {options.model}"):
        chat = Chat(
            options.model,
            device=options.device,
            dtype=options.dtype,
            min_pixels=options.min_pixels,
            max_pixels=options.max_pixels,
            allowed_hosts=options.allow_host,
            adapter=options.adapter,
        )
    conversation = Conversation(chat, options)
    print(f"{options.model} is ready; /help lists the commands.", file=sys.stderr)
    while conversation.is_open:
        try:
            conversation.say(input("> "))
        except EOFError:
            print(file=sys.stderr)
            break
        except KeyboardInterrupt:  # at the prompt: the line is dropped
            print(file=sys.stderr)
        except Qwen2VLError as error:
            print(f"{error}", file=sys.stderr)
    return 0


class Conversation:
    """What has been attached, and what each line that is typed does."""

    def __init__(self, chat: Chat, options: ChatOptions) -> None:
        self.is_open = True
        self._chat = chat
        self._options = options
        self._session = Session(chat, options.system)
        self._images: list[str] = []
        self._videos: list[str] = []
        self._commands: dict[str, Callable[[str], None]] = {
            "/image": self._attach_image,
            "/video": self._attach_video,
            "/reset": self._reset,
            "/cost": self._cost,
            "/help": lambda argument: print(HELP, file=sys.stderr),
            "/quit": self._quit,
        }
        for path in options.image:
            self._attach_image(path)
        for path in options.video:
            self._attach_video(path)

    def say(self, line: str) -> None:
        """Do what a line says. Raises Qwen2VLError: what was said before stays, what was attached to this line goes."""
        line = line.strip()
        if not line:
            return
        if not line.startswith("/"):
            self._ask(line)
            return
        command, _, argument = line.partition(" ")
        if command not in self._commands:
            valid = ", ".join(self._commands)
            raise Qwen2VLError(f"{command} is not a command: valid are {valid}; a question must not begin with a slash")
        self._commands[command](argument.strip().strip("\"'"))

    def _ask(self, question: str) -> None:
        images, videos, self._images, self._videos = self._images, self._videos, [], []
        with working("reading images and videos"):
            stream = self._session.ask(
                question, images, videos, video_options_of(self._options), **sampling_of(self._options)
            )
        try:
            show(stream, "reading the prompt", quiet=False)
        except KeyboardInterrupt:
            stream.close()
        report(stream.answer)

    def _attach_image(self, path: str) -> None:
        from qwen2vl.processing.sources import image_header

        processor = self._chat.processor
        width, height = image_header(path, processor.settings, processor.allowed_hosts)
        self._images.append(path)
        print(f"{path}: {width}x{height} pixels, shown with the next question", file=sys.stderr)

    def _attach_video(self, path: str) -> None:
        from qwen2vl.processing.video import video_header

        processor = self._chat.processor
        header = video_header(path, processor.settings, processor.allowed_hosts)
        self._videos.append(path)
        print(
            f"{path}: {header.width}x{header.height} pixels, {header.duration_s:.1f} s, shown with the next question",
            file=sys.stderr,
        )

    def _reset(self, argument: str) -> None:
        self._session.reset()
        self._images, self._videos = [], []
        print("all forgotten", file=sys.stderr)

    def _cost(self, argument: str) -> None:
        answer, config = self._session.last, self._chat.model.config
        waiting = f"; waiting: {len(self._images)} images, {len(self._videos)} videos"
        if answer is None:
            print(f"nothing said yet{waiting}", file=sys.stderr)
            return
        used = answer.usage.prompt_tokens + answer.usage.completion_tokens
        size = used * kv_bytes_per_token(config, self._chat.model.dtype.itemsize) / 1e6
        print(
            f"{used} of {config.text.max_position_embeddings} tokens, {answer.usage.visual_tokens} of them visual; "
            f"keys and values {size:.2f} MB; the last turn computed "
            f"{answer.usage.prompt_tokens - answer.usage.cached_tokens} tokens of its prompt anew{waiting}",
            file=sys.stderr,
        )

    def _quit(self, argument: str) -> None:
        self.is_open = False
