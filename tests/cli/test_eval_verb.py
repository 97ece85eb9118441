"""`qwen2vl eval` from end to end on small exams: scores, files, the page, progress, wrong use."""

import json
import re
from dataclasses import replace
from functools import partial

import pytest
from PIL import Image

from drawn_world.item import image_item, place_truth, text_truth
from qwen2vl.cli.data.draw_exam import draw_items, one_by_one
from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation import partial_answers, runner
from qwen2vl.evaluation.exam import EXAMS, Aims
from qwen2vl.evaluation.items import write_items
from qwen2vl.evaluation.judging import JUDGING
from tests.cli.test_cli_docs import documented_keys, keys_of
from tests.cli.test_wrong_input import refused

AIMS = Aims(floors={"red": (0.5, 0.9)}, twins={"other": "mixed"})


def image(rng):
    return Image.new("RGB", (56, 56), (200, rng.randrange(60), 0))


def red(rng):
    return image_item("red", [image(rng)], "Which colour?", "red", text_truth("red"))


def place(rng):
    truth = place_truth("box", (0, 0, 20, 20), (56, 56), "it")
    return image_item("place", [image(rng)], "Where is it?", "it", truth)


def mixed(rng):
    if rng.random() < 0.5:
        return red(rng)
    return image_item("mixed", [image(rng)], "Point.", "it", place_truth("point", (0, 0, 9, 9), (56, 56), "it"))


def other(rng):
    return image_item("other", [image(rng)], "Point.", "it", place_truth("point", (0, 0, 9, 9), (56, 56), "it"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("exam") / "exam.zip"
    makers = {"red": red, "place": place, "mixed": mixed, "other": other}
    write_items(path, draw_items({task: one_by_one(make) for task, make in makers.items()}, 4))
    return path


@pytest.fixture
def evaluate(run, archive, taught_directory, monkeypatch):
    """evaluate("--out", path) -> Result of `qwen2vl eval exam --model ...` on a small exam."""
    small = replace(EXAMS["exam"], path=archive, aims=AIMS, max_new_tokens=4)
    monkeypatch.setitem(EXAMS, "exam", small)
    return lambda *argv: run("eval", "exam", "--model", taught_directory, *argv)


def test_scores_are_printed_with_floors_gaps_and_the_digest(evaluate, archive):
    done = evaluate()
    assert done.code == 0
    assert re.search(r"^\| red \| exact \| [\d.]+% \| .* \| 4 \| 50% \(90%\) \|$", done.out, re.MULTILINE)
    assert "| other | mixed | point inside |" in done.out
    assert f"sha256 {sha256_of(archive)}" in done.out


def test_progress_goes_to_stderr(evaluate):
    assert evaluate().err.splitlines()[-1] == "answering: 16 of 16"
    assert evaluate("--tasks", "red", "red", "place").err.splitlines()[-1] == "answering: 8 of 8"


def test_keys_are_those_of_the_docs(evaluate, tmp_path):
    done = evaluate("--json", "--out", tmp_path / "scores.json")
    scores = json.loads(done.out)
    assert scores == json.loads((tmp_path / "scores.json").read_text())
    found = {re.sub(r"^(tasks|gaps)\.\w+", r"\1.TASK", key) for key in keys_of(scores)}
    assert {re.sub(r"\.parts\.\w+", ".parts.METRIC", key) for key in found} == documented_keys("eval")


def test_only_the_tasks_asked_for_are_scored(evaluate):
    scores = json.loads(evaluate("--json", "--tasks", "place", "red").out)
    assert set(scores["tasks"]) == {"red", "place"}
    assert scores["gaps"] == {}


def test_every_answer_is_written(evaluate, tmp_path):
    assert evaluate("--answers", tmp_path / "answers.jsonl").code == 0
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines[:5]] == ["red-0", "red-1", "red-2", "red-3", "place-0"]
    assert set(lines[0]) == {"id", "task", "score", "text", "truth"}
    assert lines[0]["truth"] == {"kind": "text", "accept": ["red"]}


def test_the_page_has_scores_and_items(evaluate, tmp_path, archive):
    assert evaluate("--report", tmp_path / "page.html", "--report-items", "3").code == 0
    text = (tmp_path / "page.html").read_text()
    assert sha256_of(archive) in text
    assert text.count("<article") == 12
    assert text.count("3 of 4 items") == 4
    assert 'class="truth" x="0.0" y="0.0" width="20.0" height="20.0"' in text


def test_the_same_weights_score_the_same(evaluate):
    assert evaluate("--json").out == evaluate("--json").out


def test_a_stopped_exam_resumes_and_scores_the_same(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_exam", partial(runner.run_exam, batch_size=5))
    whole, out = evaluate("--json").out, tmp_path / "scores.json"
    judge, asked = runner.judge, []

    def judge_until(item, reply):
        asked.append(item.id)
        if len(asked) == 12:
            raise KeyboardInterrupt
        return judge(item, reply)

    monkeypatch.setattr(runner, "judge", judge_until)
    assert evaluate("--out", out).code == 130
    assert not out.exists()
    with (tmp_path / "scores.json.partial").open("a") as file:
        file.write('[{"id": "cut')  # as a kill in the middle of writing leaves it
    asked.clear()
    done = evaluate("--json", "--out", out)
    assert done.err.splitlines()[0] == "resuming after 10 of 16 answers"
    assert len(asked) == 6
    assert done.out == whole
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_answers_judged_by_other_rules_are_not_resumed(evaluate, tmp_path, monkeypatch):
    out, partial_file = tmp_path / "scores.json", tmp_path / "scores.json.partial"
    monkeypatch.setattr(partial_answers.PartialAnswers, "remove", lambda self: None)
    evaluate("--out", out)
    assert "resuming after 16 of 16" in evaluate("--out", out).err
    stored = partial_file.read_text()
    assert f'"judging": {JUDGING}' in stored
    partial_file.write_text(stored.replace(f'"judging": {JUDGING}', f'"judging": {JUDGING - 1}'))
    assert "resuming" not in evaluate("--out", out).err


def test_answers_about_something_else_are_not_resumed(evaluate, tmp_path):
    out, partial_file = tmp_path / "scores.json", tmp_path / "scores.json.partial"
    partial_file.write_text(json.dumps({"about": {"weights": "others"}}) + "\n[]\n")
    assert "resuming" not in evaluate("--out", out).err
    assert json.loads(out.read_text())["tasks"]["red"]["n"] == 4
    assert not partial_file.exists()


WRONG = [
    (["--tasks", "reed"], ['--tasks names "reed"', "valid are red, place, mixed, other"]),
    (["--report-items", "0"], ["--report-items is 0", "at least 1"]),
    (["--out", "/nowhere/at/all.json"], ["does not exist", "create it first"]),
    (["--report", "/tmp"], ["--report", "cannot be written", "name a file"]),
    (["--out", "one.json", "--answers", "./one.json"], ["--out and --answers are both", "name two files"]),
]


@pytest.mark.parametrize(("argv", "message"), WRONG, ids=[argv[0] + argv[1] for argv, _ in WRONG])
def test_wrong_use_is_refused(evaluate, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    refused(evaluate(*argv), *message)


def test_missing_and_damaged_exams_are_refused(run, evaluate, tmp_path, monkeypatch):
    refused(run("eval", "nono"), 'EXAM is "nono"', "exam, languages")
    refused(run("eval", "exam", "--model", tmp_path / "none"), "none")
    monkeypatch.setitem(EXAMS, "exam", replace(EXAMS["exam"], path=tmp_path / "exam.zip"))
    refused(evaluate(), "exam.zip", "install the whole of qwen2vl")
    (tmp_path / "exam.zip").write_text("no archive")
    refused(evaluate(), "damaged", "install qwen2vl again")
