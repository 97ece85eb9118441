from dataclasses import dataclass, field

from qwen2vl.evaluation.report import score, table
from qwen2vl.evaluation.runner import ExamItem, judge, run_exam
from qwen2vl.processing.grounding import Box, Point


@dataclass
class Reply:
    text: str = ""
    boxes: tuple = ()
    points: tuple = ()


@dataclass
class Scripted:
    """Answers with what was written down, and remembers how it was asked."""

    replies: list[Reply]
    groups: list[int] = field(default_factory=list)

    def batch(self, conversations, batch_size=16, **sampling):
        self.groups.append(len(conversations))
        return [self.replies.pop(0) for _ in conversations]


def item(task: str, **truth) -> ExamItem:
    return ExamItem(id=task, task=task, messages=[{"role": "user", "content": "?"}], truth=truth)


def box(*xyxy) -> Box:
    return Box(label="", image_index=0, xyxy_px=xyxy, xyxy_1000=(0, 0, 0, 0))


def point(*xy) -> Point:
    return Point(label="", image_index=0, xy_px=xy, xy_1000=(0, 0))


def test_text_must_be_one_of_the_accepted_answers():
    asked = item("t", kind="text", accept=["red circle", "a red circle"])
    assert judge(asked, Reply(text="a red circle")).right
    assert not judge(asked, Reply(text="circle")).right


def test_a_box_is_right_from_an_overlap_of_one_half():
    asked = item("b", kind="box", box_px=[0, 0, 10, 10])
    assert judge(asked, Reply(boxes=(box(0, 0, 10, 5),))).right
    missed = judge(asked, Reply(boxes=(box(0, 0, 10, 4),)))
    assert (missed.right, missed.overlap) == (False, 0.4)
    assert judge(asked, Reply(text="no box at all")).overlap == 0


def test_a_point_must_lie_inside():
    asked = item("p", kind="point", box_px=[0, 0, 10, 10])
    assert judge(asked, Reply(points=(point(10, 10),))).right
    assert not judge(asked, Reply(points=(point(11, 5),))).right
    assert not judge(asked, Reply()).right


def test_items_are_asked_in_groups_and_scored_by_task():
    items = [item("a", kind="text", accept=["x"])] * 3 + [item("b", kind="box", box_px=[0, 0, 10, 10])]
    model = Scripted([Reply("x"), Reply("y"), Reply("x"), Reply(boxes=(box(0, 0, 10, 10),))])
    told = []
    scores = score(run_exam(model, items, batch_size=3, on_progress=told.append))
    assert model.groups == [3, 1]
    assert told == [3, 4]
    assert (scores["a"]["score"], scores["a"]["n"]) == (0.6667, 3)
    assert scores["b"]["mean_iou"] == 1.0
    assert scores["a"]["low"] < 0.6667 < scores["a"]["high"]


def test_the_table_shows_floors_where_there_are_some():
    scores = {"a": {"score": 0.5, "low": 0.4, "high": 0.6, "n": 10}, "b": {"score": 1, "low": 0.9, "high": 1, "n": 10}}
    lines = table(scores, {"a": (0.7, 0.9)}).splitlines()
    assert lines[2] == "| a | 50.0% | 40.0% to 60.0% | 10 | 70% (90%) |"
    assert lines[3].endswith("| 10 |  |")
