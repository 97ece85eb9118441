"""micro from nothing: nano's three runs as one, with twenty times the parameters, for one GPU.

    scripts/install-fonts.sh
    qwen2vl data draw runs/micro-records --recipe micro --share 0.25 --num-workers 16
    qwen2vl data build runs/micro-records/*.jsonl --out runs/micro-store --tokenizer runs/micro-records/tokenizer
    qwen2vl train micro --max-minutes 9                          (the same command again resumes)
    qwen2vl convert runs/micro --out runs/micro-weights --dtype bf16 --max-shard-size 15MB

`python -m experiments.micro_on_gpu` does all of it in pieces. A step holds nine times the tokens of nano's and a lesson has a
third of its steps, single skills two thirds: 16,000 steps, 2.6e8 tokens (2.5 times nano's), 1.1e17 FLOPs. At 15 % of
an H100's peak that is 12 minutes; it has not been run.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from drawn_world import TASKS
from qwen2vl.data.plan import Budgets
from qwen2vl.model.init import new_model
from qwen2vl.recipes.curriculum import CURRICULUM, Lessons, Mix, in_a_row
from qwen2vl.recipes.drawn import Validation, how_to_build, stages_over
from qwen2vl.recipes.whole import WHOLE
from qwen2vl.recipes.wide import wide_processor
from qwen2vl.recipes.wider import WIDER
from qwen2vl.spec.config import NANO
from qwen2vl.training.run import Prepared
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
"""71 million parameters; tokenizer and limits are nano's."""
SHARE = 1 / 3
"""Of the steps of every lesson."""
SKILLS, LATER = CURRICULUM[:4], CURRICULUM[4:-1]
SKILLS_END, KNOWN_END = SKILLS[-1].until, 14000
FIRST_WORLD = (
    *(replace(lessons, until=2 * lessons.until) for lessons in SKILLS),
    *(replace(lessons, until=SKILLS_END + lessons.until) for lessons in LATER),
    replace(CURRICULUM[-1], until=SKILLS_END + KNOWN_END),
)
"""What leaves chance does so after steps rather than conversations: single skills have twice their share. The first world
in full, which `whole` keeps up, is shorter than nano's."""


def with_later_lessons(lessons: Lessons) -> Lessons:
    """With those that no run of nano had: as easy as the rest."""
    ease = min(mix.ease for mix in lessons.mixes)
    later = (Mix(ease, {"overlap": 1, "glyph_know": 1}), Mix(ease, {"glyph_article": 1}))
    return replace(lessons, mixes=(*lessons.mixes, *later))


LESSONS = in_a_row(FIRST_WORLD, WIDER[:-1], tuple(map(with_later_lessons, WHOLE)), share=SHARE)
"""Without the last of `wide`, the full questions, which `whole` asks in its turn."""
RATE = 5e-4
END = LESSONS[-1].until
FALLS = round(0.5 * END)
"""Step from which the rate falls."""
STAGES = stages_over(
    LESSONS,
    {"1-skills": LESSONS[len(SKILLS) - 1].until, "2-everything": round(0.94 * END), "3-questions": END},
    rate=RATE,
    falls=FALLS,
    budgets=Budgets(tokens=4096, visual_tokens=4096, media=512),
    packs_per_step=4,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroRecipe:
    """Everything that decides micro's weights."""

    store: Path = Path("runs/micro-store")
    """Built from what `qwen2vl data draw --recipe micro` writes."""
    validation_items: int = 16
    """Of every task, drawn from the held-out half of the world."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=1500, save_every=500))

    @property
    def name(self) -> str:
        return "micro"

    def prepare(self, run_dir: Path) -> Prepared:
        processor = wide_processor(MICRO)
        return Prepared(
            config=MICRO,
            processor=processor,
            stages=STAGES,
            store=self.store,
            model=lambda: new_model(MICRO, self.train.seed),
            validate=Validation(processor, TASKS, self.validation_items) if self.validation_items else None,
            how_to_build=how_to_build(self.name, self.store),
        )
