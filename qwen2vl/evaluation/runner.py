"""Ask a model every item of an exam, through the public conversation form only, and judge the answers."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from qwen2vl.evaluation.judging import ExamItem, Judged, Reply, judge


class Answers(Protocol):
    """Whatever can answer conversations; `inference.Chat` is one."""

    def batch(self, conversations: Sequence[Any], batch_size: int = 16, **sampling: Any) -> Sequence[Reply]: ...


def run_exam(
    model: Answers,
    items: Iterable[ExamItem],
    *,
    batch_size: int = 32,
    max_new_tokens: int = 64,
    on_batch: Callable[[Sequence[Judged]], None] = lambda batch: None,
) -> list[Judged]:
    """All items in order, greedy; they are read as they are asked, so their images need not all be in memory.

    on_batch is given what was judged, batch by batch.
    """
    results: list[Judged] = []
    upcoming = iter(items)
    while group := list(islice(upcoming, batch_size)):
        replies = model.batch([item.messages for item in group], batch_size=batch_size, max_new_tokens=max_new_tokens)
        batch = [judge(item, reply) for item, reply in zip(group, replies, strict=True)]
        on_batch(batch)
        results += batch
    return results
