"""The page shows truths and answers, every image with its places, escapes all text, and has a bounded size."""

import base64
import io
import os
import re

from PIL import Image, ImageChops

from qwen2vl.evaluation import page as module
from qwen2vl.evaluation.exam import Aims
from qwen2vl.evaluation.items import ExamItem
from qwen2vl.evaluation.judging import judge
from qwen2vl.evaluation.page import choose, describe_truth, page
from qwen2vl.evaluation.report import Report, score
from qwen2vl.evaluation.runner import ExamRun
from tests.evaluation.conftest import Reply, box, make_item, point

RUN = ExamRun(exam="exam", digest="abc123", model="a <b> model", weights="", platform="")
AIMS = Aims(floors={"t": (0.7, 0.9)}, twins={"other": "t"})
IMAGE = Image.effect_noise((60, 40), 50).convert("RGB")


def make_page(*asked, per_task=12, aims=AIMS):
    results = [judge(item, reply) for item, reply in asked]
    items = {item.id: item for item, _ in asked}
    report = Report(scores=score(results), aims=aims)
    return page(RUN, report, choose(results, per_task), items)


def images_of(text):
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB") for content in found]


def text_item(id, *images):
    return make_item(id.split("-")[0], *images, id=id, kind="text", accept=["x"])


def test_scores_floors_and_gaps_are_shown():
    asked = [(text_item("t-0"), Reply("y")), (text_item("other-0"), Reply("x"))]
    text = make_page(*asked)
    assert "a &lt;b&gt; model" in text
    assert "sha256 abc123" in text
    assert "Under their floor: t." in text
    assert "70% (90%)" in text
    assert "<b>50.0%</b>" in text, "the mean of both tasks"
    assert "<b>-100.0</b>" in text, "the twin that we drew is worse here"
    assert "another renderer" not in make_page(*asked[:1], aims=Aims(floors={}))


def test_question_answer_and_truth_are_shown_and_escaped():
    evil = "<script>alert(1)</script>\x00\x1b"
    item = make_item("t", IMAGE, kind="text", accept=["<i>&"])
    item.messages[0]["content"][-1]["text"] = evil
    text = make_page((item, Reply(evil)))
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;��") == 2
    assert "&lt;i&gt;&amp;" in text
    assert "default-src 'none'" in text


def test_earlier_turns_come_before_the_question():
    messages = [
        {"role": "system", "content": "be <brief>"},
        {"role": "user", "content": [{"type": "image", "image": IMAGE}, {"type": "text", "text": "one?"}]},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "two?"}]},
    ]
    item = ExamItem(id="t", task="t", messages=messages, truth={"kind": "text", "accept": ["2"]})
    text = make_page((item, Reply("2")))
    assert "system: be &lt;brief&gt;\nuser: one?\nassistant: 1</pre>" in text
    assert "<dd>two?</dd>" in text
    assert len(images_of(text)) == 1


def test_images_are_unchanged_and_have_places_over_them():
    item = make_item("b", IMAGE, kind="box", box_px=[10, 5, 30, 20])
    text = make_page((item, Reply(boxes=(box(12, 5, 31, 20),), points=(point(7, 8),))))
    (shown,) = images_of(text)
    assert ImageChops.difference(shown, IMAGE).getbbox() is None
    assert '<svg viewBox="0 0 60 40">' in text
    assert '<rect class="truth" x="10.0" y="5.0" width="20.0" height="15.0"/>' in text
    assert '<rect class="answer" x="12.0" y="5.0" width="19.0" height="15.0"/>' in text
    assert '<circle class="answer" cx="7.0" cy="8.0" r="3"/>' in text


def test_the_truth_is_on_the_last_image_and_answers_where_they_point():
    item = make_item("b", IMAGE, Image.new("RGB", (20, 20)), kind="box", box_px=[1, 2, 3, 4])
    first, second = make_page((item, Reply(boxes=(box(5, 6, 7, 8),)))).split("<figure>")[1:]
    assert "answer" in first.split("</figure>")[0]
    assert "truth" not in first.split("</figure>")[0]
    assert 'class="truth"' in second.split("</figure>")[0]


def test_equal_frames_in_a_row_are_shown_once():
    def video(frames):
        content = [{"type": "video", "video": frames}, {"type": "text", "text": "?"}]
        messages = [{"role": "user", "content": content}]
        return ExamItem(id="t", task="t", messages=messages, truth={"kind": "text", "accept": ["x"]})

    red, blue = (Image.new("RGB", (28, 28), colour) for colour in ("red", "blue"))
    text = make_page((video([red] * 5 + [blue] + [red] * 2), Reply("x")))
    assert [image.getpixel((0, 0)) for image in images_of(text)] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == ["1-5", "6", "7-8"]
    many = [Image.new("RGB", (28, 28), (4 * number, 0, 0)) for number in range(64)]
    text = make_page((video(many), Reply("x")))
    assert len(images_of(text)) == module.MOST_FRAMES
    assert "12 of 64 different frames" in text


def test_failures_come_first_and_right_answers_last():
    asked = [(text_item(f"t-{number}"), Reply("x" if number % 2 else "y")) for number in range(20)]
    asked += [(make_item("l", id=f"l-{i}", kind="text", accept=["abcde"], metric="anls"), Reply(text))
              for i, text in enumerate(("abcde", "abcdx", "?"))]  # fmt: skip
    results = [judge(item, reply) for item, reply in asked]
    assert [result.id for result in choose(results, 8)] == [
        *(f"t-{number}" for number in (0, 2, 4, 6, 8, 10, 1, 3)), "l-2", "l-1", "l-0"
    ]  # fmt: skip
    assert [result.id for result in choose(results, 1)] == ["t-0", "l-2"]


def test_right_answers_fill_the_page_if_none_failed():
    results = [judge(text_item(f"t-{number}"), Reply("x")) for number in range(20)]
    assert len(choose(results, 8)) == 8


def test_the_page_is_bounded(monkeypatch):
    """Images that no format compresses, and very long answers."""
    noise = [Image.frombytes("RGB", (900, 700), os.urandom(900 * 700 * 3)) for _ in range(2)]
    monkeypatch.setattr(module, "MOST_BYTES", 600_000)
    asked = [(text_item(f"t-{number}", noise[number % 2]), Reply("<" * 100_000)) for number in range(12)]
    text = make_page(*asked)
    assert 1 < len(images_of(text)) < 6
    assert len(text) < 1_000_000
    assert f"{len(images_of(text))} of 12 items" in text
    assert max(images_of(text)[0].size) == module.WIDEST


def test_every_kind_of_truth_is_described():
    assert describe_truth({"kind": "text", "accept": ["a", "b"]}) == "a | b"
    assert describe_truth({"kind": "number", "value": 12.0, "tolerance": 0.1}) == "12 ± 10%"
    assert describe_truth({"kind": "point", "box_px": [1, 2, 3, 4], "label": "Save"}) == "Save: (1,2)-(3,4) px"
    action = {"kind": "action", "name": "Type", "box_px": [1, 2, 3, 4], "text": "Oslo"}
    assert describe_truth(action) == 'Type (1,2)-(3,4) px "Oslo"'
    assert describe_truth(action | {"name": "Done", "box_px": None, "text": None}) == "Done"
