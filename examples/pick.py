"""List the seeds of the example tasks that a model answers correctly, to choose `EXAMPLES`: `python -m examples.pick [MODEL]`."""

import sys
from collections.abc import Iterable

from drawn_world import draw
from examples.make import EXAMPLES
from qwen2vl import Chat
from qwen2vl.evaluation.items import ExamItem
from qwen2vl.evaluation.judging import Judged
from qwen2vl.evaluation.runner import run_exam

SEEDS = range(200, 320)


def answered(chat: Chat, task: str, seeds: Iterable[int]) -> list[Judged]:
    """Held-out items of a task, asked and judged."""
    drawn = {seed: draw(task, seed, "test") for seed in seeds}
    return run_exam(
        chat,
        [ExamItem(id=str(seed), task=task, messages=item.messages, truth=item.truth) for seed, item in drawn.items()],
    )


def main(model: str = "nano") -> None:
    chat = Chat(model)
    for task in dict.fromkeys(example.task for example in EXAMPLES):
        results = answered(chat, task, SEEDS)
        right = [result for result in results if result.right]
        print(f"{task}: {len(right)} of {len(results)}")
        for result in right:
            content = draw(task, int(result.id), "test").messages[0]["content"]
            size = next((part["image"].size for part in content if part["type"] == "image"), "")
            print(f"  {result.id}  {size}  {content[-1]['text']} -> {result.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
