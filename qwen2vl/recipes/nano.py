"""nano from random weights: one run over the whole drawn world.

    scripts/install-fonts.sh
    qwen2vl data draw runs/nano-records --num-workers 2
    qwen2vl data build runs/nano-records/*.jsonl --out runs/nano-store --tokenizer runs/nano-records/tokenizer --num-workers 2
    qwen2vl train nano --train.compile                           (the same command again resumes)
    qwen2vl convert runs/nano --out runs/nano-weights --dtype bf16

The first steps teach single skills in their easiest forms. From then on every step reads all tasks together, each item with
an ease of its own. The learning rate is level and falls once, over the last quarter; the tower is locked at the end.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from drawn_world import TASKS, corpus_pieces, corpus_words
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import Rates, Stage, TrainConfig

MEDIA = MediaSettings(
    min_pixels=4 * 784,
    max_pixels=256 * 784,
    video_min_pixels=4 * 784,
    video_max_pixels=64 * 784,
    video_total_pixels=2 * 1024 * 784,
    video_max_tokens=1024,
    max_frames=64,
    image_mean=NANO.vision.image_mean,
    image_std=NANO.vision.image_std,
)
"""Limits of nano: it is trained on small images and short videos only. 784 pixels are one token."""

PLACEHOLDER = 0
