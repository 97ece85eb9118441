from qwen2vl.evaluation.runner import run_exam
from tests.evaluation.conftest import Reply, Scripted, box, make_item


def test_items_are_asked_in_groups_as_they_are_read():
    read = []

    def items():
        for number in range(4):
            read.append(number)
            yield make_item("a", id=f"a-{number}", kind="text", accept=["x"])

    model = Scripted([Reply("x"), Reply("y"), Reply("x"), Reply(boxes=(box(0, 0, 10, 10),))])
    sizes, seen = [], []
    results = run_exam(
        model,
        items(),
        batch_size=3,
        max_new_tokens=7,
        on_batch=lambda batch: (sizes.append(len(batch)), seen.append(len(read))),
    )
    assert model.groups == [3, 1]
    assert model.settings == {"max_new_tokens": 7}
    assert sizes == [3, 1]
    assert seen == [3, 4]
    assert [(result.id, result.right) for result in results] == [
        ("a-0", True), ("a-1", False), ("a-2", True), ("a-3", False)
    ]  # fmt: skip


def test_an_exam_without_items_is_answered():
    assert run_exam(Scripted([]), []) == []
