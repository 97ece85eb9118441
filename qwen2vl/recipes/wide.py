"""nano in the wider world: emoji, documents, charts, screens with actions, longer videos, pairs, instructions.

    scripts/install-fonts.sh
    qwen2vl data draw runs/wide-records --recipe wide
    qwen2vl data build runs/wide-records/*.jsonl --out runs/wide-store --tokenizer runs/wide-records/tokenizer
    qwen2vl train wide --model runs/nano-weights                 (the same command again resumes)

It begins with a trained nano, whose vocabulary grows by the names of the wider world. Like nano's, its last stage locks
the tower and takes the full questions on.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from drawn_world import TASKS, added_words, corpus_words
from qwen2vl.model.checkpoint import load_model
from qwen2vl.model.init import with_more_ids
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.recipes.drawn import MEDIA, Validation, how_to_build, stages_over
from qwen2vl.recipes.wider import WIDER
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.training.run import Prepared
from qwen2vl.training.train_config import Stage, TrainConfig

RATE = 7e-4
STAGES = stages_over(WIDER, {"2-everything": 7900, "3-questions": 10_900}, rate=RATE, falls=0)


@cache
def wide_processor(config: Qwen2VLConfig = NANO) -> Processor:
    """Tokenizer with the words of both worlds; ids of the first are nano's."""
    return Processor(build_nano_tokenizer(corpus_words(), added_words(), config.text.vocab_size), config, MEDIA)


@dataclass(frozen=True, slots=True, kw_only=True)
class WideRecipe:
    """Everything that decides the weights."""

    name: ClassVar[str] = "wide"
    stages: ClassVar[tuple[Stage, ...]] = STAGES
    records_seed: ClassVar[int] = 0
    """What `qwen2vl data draw` draws its records with."""
    store: Path = Path("runs/wide-store")
    """Built from what `qwen2vl data draw --recipe wide` writes."""
    model: str = "runs/nano-weights"
    """The checkpoint to begin with: what the recipe `nano` made."""
    validation_items: int = 16
    """Of every task, drawn from the held-out half of the world."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=500, save_every=100))

    def prepare(self, run_dir: Path) -> Prepared:
        processor = wide_processor()
        return Prepared(
            config=NANO,
            processor=processor,
            stages=self.stages,
            store=self.store,
            model=self._model,
            validate=Validation(processor, TASKS, self.validation_items) if self.validation_items else None,
            how_to_build=how_to_build(self.name, self.store),
            records_seed=self.records_seed,
        )

    def _model(self) -> Qwen2VL:
        return with_more_ids(load_model(self.model, device="cpu", dtype="fp32"), NANO, self.train.seed)
