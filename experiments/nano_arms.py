"""Questions settled before the long run of nano, each by runs of equal time beside one another, called arms.

    python -m experiments.nano_arms ARM --store runs/nano-store --minutes 40      trains one arm; the same command resumes
    python -m experiments.nano_arms --gather                                      writes benchmarks/results/nano_arms.json

An arm is the recipe with one thing changed. It is measured by the held-out loss of the tasks that it is about, and by whose
shape its boxes are around. Arms that are compared run at the same time, one on each core.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drawn_world import TASKS
from experiments.which_is_meant import ask
from qwen2vl.cli.train import stopping_at
from qwen2vl.common.files import write_atomically
from qwen2vl.data.plan import Phase
from qwen2vl.inference import Chat
from qwen2vl.recipes.drawn_items import Validation
from qwen2vl.recipes.nano import drawn_stages, nano, nano_processor
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.training.export import export_run
from qwen2vl.training.run import train_run
from qwen2vl.training.run_directory import read_metrics
from qwen2vl.training.run_spec import RunSpec
from qwen2vl.training.train_config import Rates, Stage, TrainConfig
from tools.results import RESULTS
from tools.script import say

PLACES = ("list_boxes", "list_points", "name_box", "pick_box", "shape_at", "place_talk", "ground", "point")
SMALL = replace(
    NANO,
    vision=replace(NANO.vision, hidden_size=128, depth=4, embed_dim=128, num_heads=2),
    text=replace(
        NANO.text,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One change of the recipe."""

    question: str
    """What the arms with the same question settle."""
    mixtures: tuple[Mapping[str, int], ...] = ()
    """Mixtures that steps use in turn; () = those of the recipe."""
    rate: float = 2e-3
    packs_per_step: int = 4
    config: Qwen2VLConfig = NANO
    tasks: tuple[str, ...] = TASKS
    """Tasks whose held-out loss is measured."""

    def stages(self) -> tuple[Stage, ...]:
        """One stage at a level rate, long enough for any number of minutes."""
        _, everything, _ = drawn_stages(packs_per_step=self.packs_per_step)
        phases = (Phase(mixtures=self.mixtures),) if self.mixtures else everything.phases
        rates = Rates(tower=self.rate, merger=self.rate, decoder=self.rate)
        return (replace(everything, rates=rates, phases=phases, decay=0.0),)


def together(*tasks: str) -> tuple[Mapping[str, int]]:
    """One mixture, so that every step reads all tasks."""
    return (dict.fromkeys(tasks, 1),)


def in_turn(*tasks: str) -> tuple[Mapping[str, int], ...]:
    """A mixture for each task, so that every step reads one of them."""
    return tuple({task: 1} for task in tasks)


ARMS = {
    "places_mixed": Arm(question="places", mixtures=together(*PLACES), tasks=PLACES, packs_per_step=2),
    "places_in_turn": Arm(question="places", mixtures=in_turn(*PLACES), tasks=PLACES, packs_per_step=2),
    "places_lists": Arm(question="places", mixtures=together("list_boxes", "ground"), tasks=PLACES, packs_per_step=2),
    "places_questions": Arm(question="places", mixtures=together("place_talk", "ground"), tasks=PLACES, packs_per_step=2),
    "places_named": Arm(
        question="places", mixtures=together("name_box", "pick_box", "shape_at", "ground"), tasks=PLACES, packs_per_step=2
    ),
    "places_alone": Arm(question="places", mixtures=together("ground"), tasks=PLACES, packs_per_step=2),
    "rate_1e-3": Arm(question="rate", rate=1e-3),
    "rate_2e-3": Arm(question="rate", rate=2e-3),
    "rate_3e-3": Arm(question="rate", rate=3e-3),
    "half_steps_1.5e-3": Arm(question="rate", rate=1.5e-3, packs_per_step=2),
    "size_9m": Arm(question="size", packs_per_step=2, rate=1.5e-3),
    "size_3m": Arm(question="size", packs_per_step=2, rate=1.5e-3, config=SMALL),
}  # fmt: skip
"""The arms of part A: places (at most six, named before the first was run), rate and batch, size."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", nargs="?", choices=ARMS)
    parser.add_argument("--store", type=Path, default=Path("runs/nano-store"))
    parser.add_argument("--runs", type=Path, default=Path("runs/arms"), help="folder of the arms")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--gather", action="store_true", help="write the results of all arms that have been measured")
    parser.add_argument("--out", type=Path, default=RESULTS / "nano_arms.json")
    options = parser.parse_args(argv)
    if options.gather:
        found = {path.parent.name: json.loads(path.read_text()) for path in sorted(options.runs.glob("*/scores.json"))}
        write_atomically(options.out, json.dumps(found, indent=1) + "\n")
        say(f"{len(found)} arms written to {options.out}")
        return 0
    if options.arm is None:
        parser.error("give an arm, or --gather")
    train(options.arm, options.store, options.runs / options.arm, options.minutes)
    scores = measure(options.arm, options.runs / options.arm)
    say(json.dumps(scores["losses"] | {"mean": scores["mean_loss"]} | scores["whose"]))
    return 0


def train(name: str, store: Path, run: Path, minutes: float) -> None:
    """Train an arm for a number of minutes of this process."""

    def show(line: dict[str, Any]) -> None:
        if line["step"] % 20 == 0:
            say(f"{name} {line['step']} loss {line['loss']:.3f} right {line['token_accuracy']:.1%}")

    train_run(spec_of(ARMS[name], store), run, stopping_at(time.monotonic() + 60 * minutes, show))


def spec_of(arm: Arm, store: Path) -> RunSpec:
    config = TrainConfig(compile=True, save_every=500, validate_every=10**6)
    spec = nano(store=store, validation_items=0, train=config)
    return replace(spec, processor=nano_processor(arm.config), stages=arm.stages())


def measure(name: str, run: Path) -> dict[str, Any]:
    """Held-out loss by task, and whose shape the boxes of `ground` are around; kept in scores.json."""
    arm, weights = ARMS[name], run / "weights"
    export_run(run, weights)
    chat = Chat(str(weights))
    losses = {
        task: Validation(nano_processor(arm.config), (task,), 40)(chat.model)["validation_loss"] for task in arm.tasks
    }
    lines = [line for line in read_metrics(run / "metrics.jsonl") if "samples" in line]
    scores = {
        "question": arm.question,
        "steps": lines[-1]["step"],
        "conversations": sum(line["samples"] for line in lines),
        "core_minutes": sum(line["step_s"] for line in lines) / 60,
        "mean_loss": sum(losses.values()) / len(losses),
        "losses": losses,
        "whose": ask(chat, 400),
    }
    write_atomically(run / "scores.json", json.dumps(scores, indent=1) + "\n")
    return scores


if __name__ == "__main__":
    raise SystemExit(main())
