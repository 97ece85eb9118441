"""A report for people: one HTML file of scores and of items with their question, answer and truth.

Failures come first. All text of items and answers is escaped, and the page allows itself no content but its own images. Its
size is bounded, whatever the images. The frame of the page and its styles: page.html.
"""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from qwen2vl.evaluation.items import ExamItem, counted_media
from qwen2vl.evaluation.judging import Judged
from qwen2vl.evaluation.report import Report, describe_bounds, describe_metric
from qwen2vl.evaluation.runner import ExamRun

MOST_BYTES = 12_000_000
"""Largest size of all items of the page together; every task has an equal share of it, and shows at least one item."""
MOST_FRAMES = 12
"""Number of frames of a video that are shown; equal frames in a row count as one."""
WIDEST = 640
"""Pixels; larger images are shown smaller."""


def choose(results: Sequence[Judged], per_task: int) -> list[Judged]:
    """At most `per_task` results of every task: the worst first, then right ones, a quarter if there are enough of both."""
    by_task: dict[str, list[Judged]] = defaultdict(list)
    for result in results:
        by_task[result.task].append(result)
    chosen: list[Judged] = []
    for judged in by_task.values():
        failed = sorted((result for result in judged if not result.right), key=lambda result: result.score)
        right = [result for result in judged if result.right]
        num_right = min(len(right), per_task // 4)
        chosen += [*failed[: per_task - num_right], *right][:per_task]
    return chosen


def page(run: ExamRun, report: Report, chosen: Sequence[Judged], items: Mapping[str, ExamItem]) -> str:
    """The whole page; `items` maps the id of every chosen result to its item."""
    by_task = {task: list(judged) for task, judged in groupby(chosen, key=lambda result: result.task)}
    share = MOST_BYTES // max(1, len(by_task))
    sections = [
        _section(task, report.scores[task], [(result, items[result.id]) for result in judged], share)
        for task, judged in by_task.items()
    ]
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        title=_text(f"{run.model}: {run.exam}"),
        facts=_text(f"Model {run.model}, exam {run.exam}, sha256 {run.digest}"),
        verdict=_text(report.verdict()),
        scores=_score_table(report, set(by_task)),
        gaps=_gap_table(report),
        tasks="".join(sections),
    )


def _score_table(report: Report, linked: set[str]) -> str:
    """A row for every task and part; the names of `linked` tasks lead to their section."""
    rows, under = [], report.missed()
    for task, line in report.lines().items():
        floor, aim = report.aims.floors.get(task, (None, None))
        name = f'<a href="#{_text(task)}">{_text(task)}</a>' if task in linked else _text(task)
        overlap = f"{line['mean_iou']:.2f}" if "mean_iou" in line else ""
        cells = (
            name,
            _text(describe_metric(line["metric"])),
            f"<b>{line['score']:.1%}</b>",
            f"{line['low']:.1%} to {line['high']:.1%}",
            _bar(line, floor, aim),
            describe_bounds(report.aims.floors.get(task)),
            overlap,
            str(line["n"]),
        )
        rows.append((cells, task in under))
    if len(report.scores) > 1:
        mean = f"mean of {len(report.scores)}", "", f"<b>{report.mean():.1%}</b>"
        rows.append(((*mean, "", "", describe_bounds(report.mean_bounds()), "", ""), "mean" in under))
    return _table(
        ("task", "measure", "score", "95 % interval", "floor and aim are lines", "floor (aim)", "mean IoU", "items"),
        rows,
    )


def _gap_table(report: Report) -> str:
    """A row for every pair of twins; "" without any."""
    rows = []
    for task, line in report.gaps().items():
        gap, low, high = (f"{100 * line[key]:.1f}" for key in ("gap", "low", "high"))
        cells = (
            _text(task),
            _text(line["twin"]),
            _text(describe_metric(line["metric"])),
            f"<b>{gap}</b>",
            f"{low} to {high}",
            report.gap_bounds(),
        )
        rows.append((cells, line["gap"] > report.aims.gap[0]))
    head = ("images of another renderer", "its twin", "measure", "points under it", "95 % interval", "at most (aim)")
    return f"<h2>Transfer</h2>\n{_table(head, rows)}" if rows else ""


def _table(head: Sequence[str], rows: Sequence[tuple[Sequence[str], bool]]) -> str:
    """A table of cells in HTML; every row says whether it misses its floor."""
    titles = "".join(f"<th>{_text(title)}</th>" for title in head)
    lines = (
        f'<tr class="{"missed" if is_missed else ""}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for cells, is_missed in rows
    )
    return f"<table><tr>{titles}</tr>\n{''.join(lines)}</table>\n"


def _bar(line: Mapping[str, Any], floor: float | None, aim: float | None) -> str:
    """The score as a bar over 0..1, its interval as a line, floor and aim as ticks."""
    marks = "".join(f'<path class="tick" d="M{200 * at:.1f} 0V14"/>' for at in (floor, aim) if at is not None)
    return (
        f'<svg class="bar" width="202" height="14" viewBox="-1 0 202 14"><rect class="all" width="200" height="14"/>'
        f'<rect class="score" y="3" width="{200 * line["score"]:.1f}" height="8"/>'
        f'<path class="interval" d="M{200 * line["low"]:.1f} 7H{200 * line["high"]:.1f}"/>{marks}</svg>'
    )


def _section(task: str, line: Mapping[str, Any], pairs: Sequence[tuple[Judged, ExamItem]], share: int) -> str:
    """Score and items of one task, until its share of the bytes is used up."""
    shown: list[str] = []
    for result, item in pairs:
        if shown and sum(map(len, shown)) >= share:
            break
        shown.append(_article(result, item))
    about = f"{line['score']:.1%} {describe_metric(line['metric'])}; {len(shown)} of {line['n']} items, failures first"
    return (
        f'<section id="{_text(task)}"><h2>{_text(task)} <small>{_text(about)}</small></h2>\n'
        f'<div class="items">{"".join(shown)}</div></section>\n'
    )


def _article(result: Judged, item: ExamItem) -> str:
    """One item: media, question, answer, truth and score."""
    earlier, question = _texts(item.messages)
    before = f"<details><summary>before it</summary><pre>{_text(earlier)}</pre></details>" if earlier else ""
    score = "right" if result.right else "wrong" if result.score == 0 else f"{result.score:.2f}"
    overlap = "" if result.overlap is None else f", IoU {result.overlap:.2f}"
    kind = "right" if result.right else "wrong" if result.score == 0 else "partly"
    return (
        f'<article class="{kind}">{"".join(_media(item, result))}\n{before}'
        f"<dl><dt>asked</dt><dd>{_text(question)}</dd>"
        f'<dt>answered</dt><dd class="answer">{_text(result.text) or "<i>nothing</i>"}</dd>'
        f'<dt>true</dt><dd class="truth">{_text(describe_truth(item.truth))}</dd></dl>'
        f'<p class="about"><b>{score}</b>{overlap} · {_text(item.id)}</p></article>\n'
    )


def _texts(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The turns before the last, each with its role, and the text of the last."""
    turns = []
    for message in messages:
        content = message["content"]
        text = content if isinstance(content, str) else " ".join(p["text"] for p in content if p["type"] == "text")
        turns.append((message["role"], text))
    return "\n".join(f"{role}: {text}" for role, text in turns[:-1]), turns[-1][1]


def describe_truth(truth: Mapping[str, Any]) -> str:
    """The right answer for readers."""
    box = truth.get("box_px")
    place = f"({box[0]:g},{box[1]:g})-({box[2]:g},{box[3]:g}) px" if box else ""
    match truth["kind"]:
        case "text":
            return " | ".join(truth["accept"])
        case "number":
            value = truth["value"] if isinstance(truth["value"], str) else f"{truth['value']:g}"
            return f"{value} ± {truth.get('tolerance', 0.05):.0%}"
        case "action":
            text = json.dumps(truth["text"], ensure_ascii=False) if truth.get("text") is not None else ""
            return " ".join(filter(None, (truth["name"], place, text)))
    return f"{truth.get('label', truth['kind'])}: {place}"


def _media(item: ExamItem, result: Judged) -> Iterator[str]:
    """All images and videos with the places on them. Indices of places count images, or videos if there are no images."""
    parts = [p for message in item.messages if not isinstance(message["content"], str) for p in message["content"]]
    media = [part for part in parts if part["type"] in ("image", "video")]
    counted = counted_media(item.messages)
    truth: Any = item.truth.get("box_px")
    for part in media:
        index = next((i for i, other in enumerate(counted) if other is part), None)
        answers = [coordinates for image, coordinates in result.places if image == index]
        wanted = truth if index == len(counted) - 1 else None
        if part["type"] == "image":
            yield f"<figure>{_image(part['image'], answers, wanted, 224)}</figure>"
        else:
            yield f'<div class="video">{"".join(_video(part["video"], answers, wanted))}</div>'


def _video(
    frames: Sequence[Image.Image], answers: Sequence[tuple[float, ...]], truth: Sequence[float] | None
) -> Iterator[str]:
    """Frames of a video, one for each stretch of equal frames; if there are too many stretches, evenly spread ones."""
    numbered = groupby(enumerate(frames), key=lambda pair: pair[1].tobytes())
    stretches = [[number for number, _ in group] for _, group in numbered]
    count = min(len(stretches), MOST_FRAMES)
    for place in range(count):
        stretch = stretches[place * len(stretches) // count]
        first, last = stretch[0] + 1, stretch[-1] + 1
        name = f"{first}" if first == last else f"{first}-{last}"
        yield f"<figure>{_image(frames[stretch[0]], answers, truth, 100)}<figcaption>{name}</figcaption></figure>"
    if count < len(stretches):
        yield f"<p>{count} of {len(stretches)} different frames</p>"


def _image(image: Image.Image, answers: Sequence[tuple[float, ...]], truth: Sequence[float] | None, side: int) -> str:
    """An image with places drawn over it; small ones are enlarged up to a longer side of `side` pixels."""
    width, height = image.size
    zoom = min(WIDEST / max(width, height), max(1, side // max(width, height)))
    marks = _mark(truth, "truth") if truth else ""
    marks += "".join(_mark(answer, "answer") for answer in answers[:20])
    over = f'<svg viewBox="0 0 {width} {height}">{marks}</svg>' if marks else ""
    size = f"width:{width * zoom:.0f}px;aspect-ratio:{width}/{height}"
    return f'<span class="image" style="{size}"><img src="{_uri(image, zoom)}" alt="">{over}</span>'


def _mark(place: Sequence[float], kind: str) -> str:
    """A point or a box in SVG; kind is "truth" or "answer"."""
    if len(place) == 2:
        return f'<circle class="{kind}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3"/>'
    left, top, right, bottom = place
    size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" {size}/>'


def _uri(image: Image.Image, zoom: float) -> str:
    """A data: URL of the image, reduced if it is shown smaller; a JPEG if the lossless file is large."""
    shown = image.convert("RGB")
    if zoom < 1:
        shown = shown.resize((max(1, round(shown.width * zoom)), max(1, round(shown.height * zoom))))
    content, form = io.BytesIO(), "webp"
    shown.save(content, "WEBP", lossless=True)
    if content.tell() > 40_000:
        content, form = io.BytesIO(), "jpeg"
        shown.save(content, "JPEG", quality=85)
    return f"data:image/{form};base64,{base64.b64encode(content.getvalue()).decode()}"


def _text(text: str) -> str:
    """Text escaped for HTML, cut to 1,500 characters."""
    cut = text if len(text) <= 1_500 else text[:1_500] + " ..."
    return escape("".join(char if char.isprintable() or char == "\n" else "�" for char in cut))
