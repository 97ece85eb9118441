"""nano from nothing: the drawn world, a curriculum, three stages, one small model.

    scripts/install-fonts.sh
    qwen2vl data draw runs/nano-records
    qwen2vl data build runs/nano-records/*.jsonl --out runs/nano-store --tokenizer runs/nano-records/tokenizer
    qwen2vl train nano                                           (the same command again resumes)
    qwen2vl convert runs/nano --out runs/nano-weights

Stage 1 trains everything on single skills, because there is no decoder yet that could be kept still; stage 2 everything
on everything; stage 3 locks the tower and takes the full questions on [paper 6].
"""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from drawn_world import FIRST_TASKS, corpus_words
from qwen2vl.model.init import new_model
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import FIRST_SIZE, build_nano_tokenizer
from qwen2vl.recipes.curriculum import CURRICULUM
from qwen2vl.recipes.drawn import MEDIA, Validation, how_to_build, stages_over
from qwen2vl.spec.config import NANO
from qwen2vl.training.run import Prepared
from qwen2vl.training.train_config import TrainConfig

FIRST_NANO = replace(NANO, text=replace(NANO.text, vocab_size=FIRST_SIZE))
"""nano before it learns the words of the wider world."""
RATE = 1e-3
STAGES = stages_over(
    CURRICULUM, {"1-skills": 2700, "2-everything": 21_000, "3-questions": 24_000}, rate=RATE, falls=9000
)


@cache
def nano_processor() -> Processor:
    """Tokenizer of the world's words, nano's sizes."""
    return Processor(build_nano_tokenizer(corpus_words()), FIRST_NANO, MEDIA)


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoRecipe:
    """Everything that decides nano's weights."""

    store: Path = Path("runs/nano-store")
    """Built from what `qwen2vl data draw` writes."""
    validation_items: int = 20
    """Of every task, drawn from the held-out half of the world."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=1000, save_every=250))

    @property
    def name(self) -> str:
        return "nano"

    def prepare(self, run_dir: Path) -> Prepared:
        processor = nano_processor()
        return Prepared(
            config=FIRST_NANO,
            processor=processor,
            stages=STAGES,
            store=self.store,
            model=lambda: new_model(FIRST_NANO, self.train.seed),
            validate=Validation(processor, FIRST_TASKS, self.validation_items) if self.validation_items else None,
            how_to_build=how_to_build(self.name, self.store),
        )
