"""micro from random weights: nano's run with eight times the parameters, for one GPU.

    scripts/install-fonts.sh
    qwen2vl data draw runs/micro-records --recipe micro --share 0.25 --num-workers 16
    qwen2vl data build runs/micro-records/*.jsonl --out runs/micro-store --tokenizer runs/micro-records/tokenizer
    qwen2vl train micro --max-minutes 9                          (the same command again resumes)
    qwen2vl convert runs/micro --out runs/micro-weights --dtype bf16 --max-shard-size 15MB

`python -m experiments.micro_on_gpu` does all of it in pieces. 16,000 steps of 16,384 tokens are 1.1e17 FLOPs: at 15 % of an
H100's peak rate that is 12 minutes; it has not been run.
"""

from dataclasses import replace
from pathlib import Path

from drawn_world import TASKS
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.recipes.nano import drawn_stages, nano_processor
from qwen2vl.spec.config import NANO
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import TrainConfig

MICRO = replace(
    NANO,
    vision=replace(NANO.vision, hidden_size=640, depth=8, embed_dim=384, num_heads=6),
    text=replace(
        NANO.text,
        hidden_size=640,
        intermediate_size=1728,
        num_hidden_layers=12,
        num_attention_heads=10,
        mrope_section=(8, 12, 12),
    ),
    initializer_range=0.02,
)
"""71 million parameters; tokenizer and limits are those of nano."""

STAGES = drawn_stages(steps=16_000, rate=5e-4, packs_per_step=4)


def micro(
    *,
    store: Path = Path("runs/micro-store"),
    validation_items: int = 16,
    train: TrainConfig = TrainConfig(validate_every=1500, save_every=500),
) -> RunSpec:
    """Train micro from random weights.

    Args:
        store: Store built from what `qwen2vl data draw --recipe micro` writes.
        validation_items: Number of items of every task, from the held-out half of the world, that are answered to validate.
        train: Settings of the whole run.
    """
    processor = nano_processor(MICRO)
    return RunSpec(
        name="micro",
        processor=processor,
        records=StoredRecords(path=store, how_to_build=how_to_build("micro", store)),
        validate=Validation(processor, TASKS, validation_items),
        stages=STAGES,
        train=train,
    )
