"""micro from random weights: nano's first three runs as one, with twenty times the parameters, for one GPU.

    scripts/install-fonts.sh
    qwen2vl data draw runs/micro-records --recipe micro --share 0.25 --num-workers 16
    qwen2vl data build runs/micro-records/*.jsonl --out runs/micro-store --tokenizer runs/micro-records/tokenizer
    qwen2vl train micro --max-minutes 9                          (the same command again resumes)
    qwen2vl convert runs/micro --out runs/micro-weights --dtype bf16 --max-shard-size 15MB

`python -m experiments.micro_on_gpu` does all of it in pieces. A step holds nine times the tokens of a step of nano. Single
skills have two thirds of their steps in nano's runs, all other parts of the curriculum one third: 16,000 steps, 2.6e8 tokens
(2.5 times nano's), 1.1e17 FLOPs. At 15 % of an H100's peak rate that is 12 minutes; it has not been run.
"""

from dataclasses import replace
from pathlib import Path

from drawn_world import TASKS
from qwen2vl.data.plan import Budgets
from qwen2vl.recipes import nano, whole, wide
from qwen2vl.recipes.curriculum import Lessons, Mix, cut_into_stages, join_curricula
from qwen2vl.recipes.drawn_items import Validation, how_to_build
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

SKILLS_END = nano.CURRICULUM[3].until
FIRST_WORLD = (
    *(replace(lessons, until=2 * lessons.until) for lessons in nano.CURRICULUM[:4]),
    *(replace(lessons, until=SKILLS_END + lessons.until) for lessons in nano.CURRICULUM[4:-1]),
    replace(nano.CURRICULUM[-1], until=SKILLS_END + 14_000),
)
"""nano's curriculum. Single skills have twice their share, because how soon they become better than chance depends on the
number of steps rather than of samples. The first world in full form is shorter, because `whole` repeats it."""


def with_new_tasks(lessons: Lessons) -> Lessons:
    """Lessons with three more tasks, which no run of nano had, at the ease of their hardest mix."""
    ease = min(mix.ease for mix in lessons.mixes)
    new = (Mix(ease, {"overlap": 1, "glyph_know": 1}), Mix(ease, {"glyph_article": 1}))
    return replace(lessons, mixes=(*lessons.mixes, *new))


CURRICULUM = join_curricula(
    FIRST_WORLD,
    wide.CURRICULUM[:-1],  # without the full questions, which `whole` asks
    tuple(map(with_new_tasks, whole.CURRICULUM)),
    share=1 / 3,
)
END = CURRICULUM[-1].until
RATE = 5e-4
DECAY_START = round(0.5 * END)
STAGES = cut_into_stages(
    CURRICULUM,
    {"1-skills": CURRICULUM[3].until, "2-everything": round(0.94 * END), "3-questions": END},
    rate=RATE,
    decay_start=DECAY_START,
    budgets=Budgets(tokens=4096, visual_tokens=4096, media=512),
    packs_per_step=4,
)


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
    processor = wide.wide_processor(MICRO)
    return RunSpec(
        name="micro",
        processor=processor,
        records=StoredRecords(path=store, how_to_build=how_to_build("micro", store)),
        validate=Validation(processor, TASKS, validation_items),
        stages=STAGES,
        train=train,
    )
