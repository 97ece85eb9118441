from qwen2vl.evaluation.exam import Aims
from qwen2vl.evaluation.intervals import mean_interval, wilson_interval
from qwen2vl.evaluation.judging import judge
from qwen2vl.evaluation.report import Report, score
from tests.evaluation.conftest import Reply, box, make_item

AIMS = Aims(floors={"a": (0.7, 0.9)}, twins={"t": "a", "absent": "a"}, gap=(0.25, 0.08))


def report(aims=AIMS, **scores):
    return Report(scores=scores, aims=aims)


def line(share, n=100, **more):
    low, high = wilson_interval(round(share * n), n)
    return {"score": share, "low": low, "high": high, "n": n, "metric": "exact"} | more


def test_scores_are_by_task_in_order_of_appearance():
    text, place = {"kind": "text", "accept": ["x"]}, {"kind": "box", "box_px": [0, 0, 10, 10]}
    asked = [(make_item("b", **place), Reply(boxes=(box(0, 0, 10, 4),)))]
    asked += [(make_item("a", **text), Reply(word)) for word in ("x", "y", "x")]
    scores = score([judge(item, reply) for item, reply in asked])
    assert list(scores) == ["b", "a"]
    assert scores["b"] == {"score": 0, "low": 0, "high": 0.7935, "n": 1, "metric": "iou", "mean_iou": 0.4}
    assert (scores["a"]["score"], scores["a"]["n"], scores["a"]["metric"]) == (0.6667, 3, "exact")
    assert scores["a"]["low"] < 0.6667 < scores["a"]["high"]


def test_the_anls_score_is_a_mean_with_the_interval_of_a_mean():
    asked = make_item("l", kind="text", accept=["abcde"], metric="anls")
    found = score([judge(asked, Reply(text)) for text in ("abcde", "abcdx", "xxxxx")])["l"]
    low, high = mean_interval([1, 0.8, 0])
    assert found == {"score": 0.6, "low": round(low, 4), "high": round(high, 4), "n": 3, "metric": "anls"}


def test_a_task_of_two_metrics_has_both_as_parts():
    kinds = [make_item("s", kind="text", accept=["x"]), make_item("s", kind="point", box_px=[0, 0, 1, 1])]
    found = score([judge(item, Reply("x")) for item in (*kinds, kinds[1])])["s"]
    assert (found["metric"], found["score"], found["n"]) == ("exact + point", 0.3333, 3)
    assert {metric: (part["score"], part["n"]) for metric, part in found["parts"].items()} == {
        "exact": (1, 1),
        "point": (0, 2),
    }


def test_gaps_are_between_twins_that_were_both_scored():
    found = report(a=line(0.9), t=line(0.6)).gaps()
    assert list(found) == ["t"]
    assert (found["t"]["twin"], found["t"]["gap"]) == ("a", 0.3)
    assert found["t"]["low"] < 0.3 < found["t"]["high"]
    assert report(t=line(0.6)).gaps() == {}


def test_gaps_compare_items_of_the_same_metric():
    mixed = line(0.9, metric="exact + point", parts={"exact": line(1.0), "point": line(0.7)})
    assert report(a=mixed, t=line(0.6, metric="point")).gaps()["t"]["gap"] == 0.1
    assert report(a=mixed, t=line(0.6, metric="number")).gaps()["t"]["gap"] == 0.3


def test_missed_are_tasks_under_their_floor_or_too_far_under_their_twin():
    assert report(a=line(0.9), t=line(0.6)).missed() == ["t"]
    assert report(a=line(0.6), t=line(0.6)).missed() == ["a"]
    assert report(a=line(0.7), t=line(0.45)).missed() == []
    assert report(other=line(0.1)).missed() == []


def test_a_floor_may_be_of_one_part():
    mixed = line(0.8, metric="exact + point", parts={"exact": line(1.0), "point": line(0.6)})
    aims = Aims(floors={"a/point": (0.7, 0.9)})
    assert report(aims, a=mixed).missed() == ["a/point"]
    lines = report(aims, a=mixed, b=line(0.5)).table().splitlines()
    assert [each.split(" | ")[0] for each in lines[2:6]] == ["| a", "| a/exact", "| a/point", "| b"]
    assert lines[4] == "| a/point | point inside | 60.0% | 50.2% to 69.1% | 100 | 70% (90%) |"
    assert lines[-1] == "Under their floor: a/point."


def test_the_table_shows_measures_floors_and_gaps():
    found = report(a=line(0.5, metric="anls"), b=line(1.0, metric="exact + point"), t=line(0.1))
    lines = found.table().splitlines()
    assert lines[2].startswith("| a | ANLS | 50.0% | 40.4% to 59.6% | 100 | 70% (90%) |")
    assert lines[3].startswith("| b | exact, point inside | 100.0% |")
    assert lines[3].endswith("| 100 |  |")
    assert lines[5] == "| mean of 3 |  | 53.3% |  |  |  |"
    assert lines[9].startswith("| t | a | exact | 40.0 |")
    assert lines[9].endswith("| 25 (8) |")
    assert lines[-1] == "Under their floor: a, t."


def test_the_mean_is_judged_when_all_tasks_have_scores():
    aims = Aims(floors={}, num_tasks=2, mean=(0.6, 0.9))
    assert report(aims, a=line(0.9), b=line(0.2)).missed() == ["mean"]
    assert report(aims, a=line(0.9), b=line(0.3)).missed() == []
    assert report(aims, a=line(0.2)).missed() == []
    text = report(aims, a=line(0.9), b=line(0.2)).table()
    assert "| mean of 2 |  | 55.0% |  |  | 60% (90%) |" in text
    assert text.endswith("\n\nUnder their floor: mean.")


def test_without_twins_there_is_one_table():
    text = report(Aims(floors={"a": (0.7, 0.9)}), a=line(0.9)).table()
    assert "twin" not in text
    assert text.endswith("\n\nEvery floor holds.")
    assert report(b=line(0.9)).table().endswith("\n\nNo floor is set for these tasks.")


def test_old_results_without_metrics_have_a_table():
    old = {key: value for key, value in line(0.9).items() if key != "metric"}
    assert "| a |  | 90.0% |" in report(a=old).table()
