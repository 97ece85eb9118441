"""Ask a model the items of an exam, only through conversations, and judge its answers."""

import hashlib
import platform
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.items import ExamItem, read_items
from qwen2vl.evaluation.judging import JUDGING, Judged, ReplyLike, judge
from qwen2vl.evaluation.partial_answers import PartialAnswers
from qwen2vl.spec import resolve_source


class Answerer(Protocol):
    """Anything that answers a batch of conversations; `inference.Chat` is one."""

    def batch(self, conversations: Sequence[Any], batch_size: int = 16, **sampling: Any) -> Sequence[ReplyLike]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamRun:
    """Model, exam, rules of judging and machine of a run: only runs in which they are equal have equal scores."""

    model: str
    """"nano" or a checkpoint directory, as the user named it."""
    weights: str
    """SHA-256, see `weights_digest`."""
    exam: str
    digest: str
    """SHA-256 of the archive of the exam."""
    platform: str
    judging: int = JUDGING

    @classmethod
    def of(cls, model: str, exam: str) -> "ExamRun":
        """Describe a run on this machine; reads the weights and the exam whole."""
        return cls(
            model=model,
            weights=weights_digest(model),
            exam=exam,
            digest=sha256_of(EXAMS[exam].path),
            platform=platform.machine(),
        )


def weights_digest(model: str) -> str:
    """SHA-256 of the SHA-256 of every weight file of a model, in the order of their names."""
    files = sorted(resolve_source(model).glob("*.safetensors"))
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def answer_exam(
    model: Answerer,
    exam: str,
    tasks: Collection[str] | None = None,
    *,
    partial: PartialAnswers | None = None,
    on_progress: Callable[[int], None] = lambda answered: None,
) -> list[Judged]:
    """Judged answers to all items of an exam, or of some of its tasks, in their order.

    Answers that `partial` has are not asked for again; it receives every new batch. on_progress: number of answers so far.
    """
    results = list(partial.results) if partial else []
    items = read_items(EXAMS[exam].path, tasks, without={result.id for result in results})

    def store(batch: Sequence[Judged]) -> None:
        if partial:
            partial.add(batch)
        results.extend(batch)
        on_progress(len(results))

    run_exam(model, items, max_new_tokens=EXAMS[exam].max_new_tokens, on_batch=store)
    return results


def run_exam(
    model: Answerer,
    items: Iterable[ExamItem],
    *,
    batch_size: int = 32,
    max_new_tokens: int = 64,
    on_batch: Callable[[Sequence[Judged]], None] = lambda batch: None,
) -> list[Judged]:
    """Judged greedy answers to all items in order; items are read batch by batch, so their images need little memory.

    on_batch: called with the judged answers of every batch.
    """
    results: list[Judged] = []
    upcoming = iter(items)
    while group := list(islice(upcoming, batch_size)):
        replies = model.batch([item.messages for item in group], batch_size=batch_size, max_new_tokens=max_new_tokens)
        batch = [judge(item, reply) for item, reply in zip(group, replies, strict=True)]
        on_batch(batch)
        results += batch
    return results
