"""Packed rows as an HTML page: every token with its position and loss mask, and the pixels of images and videos.

The pixels are restored from the patches, so the page shows what the model receives. All text of records is escaped, and
the content policy of the page allows nothing but its own images.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qwen2vl.data.media import MediaFacts
from qwen2vl.data.samples import LoadedPack
from qwen2vl.data.store import Store
from qwen2vl.processing.images import unpatchify
from qwen2vl.processing.tokenizer import StreamDecoder, Tokenizer
from qwen2vl.spec.config import MERGE
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.tokens import IGNORED, IMAGE_PAD, SPECIAL_TOKENS, VIDEO_PAD

MOST_FRAMES = 32
"""Largest number of frames of a video that the page shows, evenly spaced."""
LONGEST_URI = 200
"""Number of characters of a URI that are shown; a `data:` URL can have megabytes."""
_VISIBLE = {code: chr(0x2400 + code) for code in range(32)} | {0x0A: "↵", 0x09: "→", 0x7F: "␡"}
"""Control characters and the characters that replace them, because HTML cannot hold most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """Title of a document on the page."""

    id: str
    source: str
    kind: str
    facts: tuple[str, ...] = ()
    """One line each: row, size of the media before resizing, failures."""


def titles_of(store: Store, pack: LoadedPack) -> list[Title]:
    """Titles of the documents of a pack that was read from this store."""
    reasons = {failure.row: failure.reason for failure in pack.failures}
    titles = []
    for document in pack.documents:
        sample = store.sample(document.row)
        facts = [describe_media(media) for media in sample.media]
        if document.row in reasons:
            facts.append(f"could not be read, so it is blank: {reasons[document.row]}")
        facts.insert(0, f"row {document.row} of the store")
        titles.append(Title(id=sample.id, source=sample.source, kind=sample.kind, facts=tuple(facts)))
    return titles


def describe_media(facts: MediaFacts) -> str:
    """One line, for example "scans/7.png: 640x480 pixels, orientation 6, max_pixels 50176"."""
    known = [f"{facts.width}x{facts.height} pixels"]
    if facts.orientation != 1:
        known.append(f"orientation {facts.orientation}")
    if facts.is_video:
        known.append(f"{facts.frames} frames")
    if facts.is_video and not facts.is_list:
        known.append(f"{facts.fps:g} per second, {facts.duration_s:g} s")
    known += [f"{name} {value:g}" for name, value in asdict(facts.options).items() if value is not None]
    more = f" and {len(facts.uris) - 1} more" if len(facts.uris) > 1 else ""
    return f"{facts.uris[0][:LONGEST_URI]}{more}: {', '.join(known)}"


def show_row(inputs: ModelInputs, tokenizer: Tokenizer, titles: Sequence[Title]) -> str:
    """A packed row as HTML for `page`: one section with a title for every document."""
    assert len(titles) == inputs.num_documents, f"{len(titles)} titles for {inputs.num_documents} documents"
    row = _RowHtml(inputs, tokenizer)
    ends = inputs.segments.tolist()
    documents = [row.document(begin, end, title) for (begin, end), title in zip(pairwise(ends), titles, strict=True)]
    about = f"tokens {ends[-1]}, documents {len(titles)}, images and videos {len(inputs.grids)}"
    return f'<section class="row"><p>Row: {about}</p>\n{"".join(documents)}</section>\n'


class _RowHtml:
    """Writes one row as HTML, from left to right; images and videos come in the order of their placeholders."""

    def __init__(self, inputs: ModelInputs, tokenizer: Tokenizer) -> None:
        assert inputs.patches.dtype == torch.uint8, "normalised pixels cannot be shown"
        self.ids: list[int] = inputs.ids.tolist()
        self.positions = inputs.positions.numpy()
        labels = torch.full_like(inputs.ids, IGNORED) if inputs.labels is None else inputs.labels
        self.supervised = labels.numpy() != IGNORED
        self.patches = inputs.patches.numpy()
        self.grids: list[list[int]] = inputs.grids.tolist()
        self.sizes = np.prod(inputs.grids.numpy(), axis=1, dtype=np.int64)
        self.shown_media = 0
        self.tokenizer = tokenizer
        self.specials = {tokenizer.special(name) for name in SPECIAL_TOKENS}
        self.image, self.video = tokenizer.special(IMAGE_PAD), tokenizer.special(VIDEO_PAD)

    def document(self, begin: int, end: int, title: Title) -> str:
        body = "".join(self.pieces(begin, end))
        visual = sum(id in (self.image, self.video) for id in self.ids[begin:end])
        counts = (
            f"{end - begin} tokens ({begin} to {end - 1} of the row), {visual} visual, "
            f"{int(self.supervised[begin:end].sum())} supervised"
        )
        facts = "".join(f"<li>{_text(fact)}</li>" for fact in title.facts)
        return (
            f'<section class="document"><h2>{_text(title.id)}</h2>'
            f"<p>{_text(title.source)} · {_text(title.kind)} · {counts}</p><ul>{facts}</ul>\n"
            f'<div class="tokens">{body}</div></section>\n'
        )

    def pieces(self, begin: int, end: int) -> Iterator[str]:
        """Tokens and images of one document. A character of several tokens is shown at the last of them."""
        text, at = StreamDecoder(self.tokenizer, SPECIAL_TOKENS), begin
        while at < end:
            if self.ids[at] in (self.image, self.video):
                number, self.shown_media = self.shown_media, self.shown_media + 1
                after = at + int(self.sizes[number]) // MERGE**2
                yield self.media(number, at, after)
                at = after
            else:
                yield self.token(at, text.push(self.ids[at]))
                at += 1

    def token(self, at: int, text: str) -> str:
        kind = " special" if self.ids[at] in self.specials else ""
        place = ",".join(map(str, self.positions[:, at]))
        hover = f"id {self.ids[at]}, position t,h,w {place}, token {at} of the row{self.mark(at, ', supervised')}"
        after = "<br>" if "\n" in text else ""
        return (
            f'<span class="token{kind}{self.mark(at, " supervised")}" title="{hover}">'
            f"{_text(text) or '·'}<small>{self.ids[at]}</small></span>{after}"
        )

    def mark(self, at: int, mark: str) -> str:
        return mark if self.supervised[at] else ""

    def media(self, number: int, begin: int, end: int) -> str:
        grid, is_video = self.grids[number], self.ids[begin] == self.video
        first = int(self.sizes[:number].sum())
        frames = unpatchify(self.patches[first : first + int(self.sizes[number])], grid)
        frames = frames if is_video else frames[:1]  # an image is two equal frames
        count = min(len(frames), MOST_FRAMES)
        images = "".join(_image(frames[place * len(frames) // count]) for place in range(count))
        shown = f"{count} of {len(frames)} frames" if is_video else "image"
        span = self.positions[:, begin:end]
        axes = ", ".join(f"{axis} {line.min()} to {line.max()}" for axis, line in zip("thw", span, strict=True))
        height, width = frames.shape[1:3]
        return (
            f'<figure class="{self.mark(begin, "supervised")}">{images}<figcaption>'
            f"{_text(VIDEO_PAD if is_video else IMAGE_PAD)} × {end - begin}, id {self.ids[begin]}: {shown}, "
            f"{width}x{height} pixels, grid {','.join(map(str, grid))}, positions {axes}</figcaption></figure>"
        )


def _text(text: str) -> str:
    return escape(text.translate(_VISIBLE))


def _image(frame: NDArray[np.uint8]) -> str:
    """A frame [H, W, 3] as an HTML image, without loss."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def page(heading: str, rows: Sequence[str]) -> str:
    """A whole HTML page of rows from `show_row`; it needs no other file and runs no script."""
    return _PAGE.format(heading=_text(heading), style=_STYLE, rows="".join(rows))


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{heading}</title>
<style>{style}</style>
</head>
<body>
<h1>{heading}</h1>
<p>Tokens on <span class="token supervised">this background</span> are supervised, <span class="token special">these</span>
are control tokens; small numbers are ids. Point at a token for its position (time, row, column).</p>
{rows}</body>
</html>
"""

_STYLE = """
body { font: 14px/1.5 sans-serif; margin: 1.5em; color: #222; background: #fff }
h1, h2 { font-size: 1.1em; margin: 0.3em 0; overflow-wrap: anywhere }
p, ul { margin: 0.2em 0; overflow-wrap: anywhere }
.row { margin: 1.5em 0; border-left: 4px solid #888; padding-left: 1em }
.document { border-top: 1px solid #ccc; padding: 0.6em 0 }
.tokens { margin-top: 0.5em }
.token { display: inline-block; white-space: pre; font-family: monospace; margin: 1px; padding: 0 2px; background: #eee;
  border-radius: 3px; vertical-align: top; max-width: 100%; overflow: hidden }
.token small { display: block; font-size: 9px; line-height: 1; color: #777 }
.special { color: #55a; font-style: italic }
.supervised { background: #bfe5b5 }
figure { display: inline-block; margin: 4px; padding: 4px; background: #f6f6f6; border: 1px solid #ccc; max-width: 100% }
figure img { margin: 1px; max-width: 100% }
figcaption { font-size: 11px; color: #555 }
"""
