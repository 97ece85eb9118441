"""Random training records: only their lengths, or a whole store of conversations about JPEG photos."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.synthetic_inputs import JPEG_QUALITY, write_photo
from drawn_world import corpus_words
from qwen2vl.data import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import Index, index_store
from qwen2vl.data.plan import Budgets, Lengths, Phase, Plan, PlanConfig
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings

BUDGETS = Budgets(tokens=8192, visual_tokens=8192, media=64)
SIDES = (300, 1200)
"""Shortest and longest side of a photo in pixels: 0.56 megapixels or 720 tokens on average."""


@lru_cache
def processor_2b() -> Processor:
    """A processor with the sizes of 2B and the vocabulary of nano: it needs no download and gives the same lengths."""
    config = replace(Qwen2VLConfig.named("2b"), tokens=NANO.tokens)
    return Processor(build_nano_tokenizer(corpus_words()), config, MediaSettings())


def random_lengths(count: int, seed: int = 0) -> Lengths:
    """Random lengths of samples: 850 tokens on average with a long tail, two thirds visual; costs of 2B in GFLOP."""
    random = np.random.default_rng(seed)
    visual = np.where(random.random(count) < 0.75, random.lognormal(6.4, 0.7, count), 0).astype(np.int64).clip(0, 6000)
    tokens = visual + random.lognormal(5.2, 0.9, count).astype(np.int64).clip(1, 2000)
    flops = tokens * 3.1 + visual * 5.2 + visual**2 * 0.0026
    media = (visual > 0).astype(np.int64)
    return Lengths(rows=np.arange(count), tokens=tokens, visual_tokens=visual, media=media, flops=flops)


def write_photos(folder: Path, count: int, sides: tuple[int, int] = SIDES, seed: int = 0) -> list[str]:
    """Write JPEG files with random sides between these, cut from a few large photos: new ones would take minutes."""
    random = np.random.default_rng(seed)
    scenes = []
    for number in range(min(8, count)):
        write_photo(folder / "scene.jpg", sides[1], sides[1], seed + number)
        with Image.open(folder / "scene.jpg") as opened:
            scenes.append(opened.copy())
    for number in range(count):
        width, height = random.integers(*sides, 2, endpoint=True).tolist()
        left, top = (int(random.integers(0, sides[1] - side, endpoint=True)) for side in (width, height))
        cut = scenes[number % len(scenes)].crop((left, top, left + width, top + height))
        cut.save(folder / f"{number}.jpg", "JPEG", quality=JPEG_QUALITY)
    return [f"{number}.jpg" for number in range(count)]


def build_photo_store(
    folder: Path, name: str, photos: Sequence[str], records: int, *, workers: int, seed: int = 0
) -> Store:
    """Build a store of `records` records, each about 0, 1, 2 or 4 photos of the folder, which are used in turn."""
    random = np.random.default_rng(seed)
    words = corpus_words()
    of_record = random.choice((0, *(1,) * 7, 2, 4), records)
    lengths = random.lognormal(4.2, 0.8, records).clip(1, 600).astype(int)
    file, next_photo = folder / f"{name}.jsonl", 0
    with file.open("w", encoding="utf-8") as out:
        for record, (count, length) in enumerate(zip(of_record.tolist(), lengths.tolist(), strict=True)):
            images = [photos[(next_photo + n) % len(photos)] for n in range(count)]
            next_photo += count
            parts = [{"type": "image", "image": image} for image in images]
            answer = " ".join(words[n] for n in random.integers(0, len(words), length).tolist())
            line = {
                "id": str(record),
                "source": ("text", "pairs", "many")[min(count, 2)],
                "kind": ("text", "caption", "multi_image")[min(count, 2)],
                "messages": [
                    {"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]},
                    {"role": "assistant", "content": answer},
                ],
            }
            out.write(json.dumps(line) + "\n")
    processor = processor_2b()
    settings = BuildSettings(
        store=folder / name, tokenizer=processor.tokenizer, media_root=None, media=processor.settings
    )
    build.build([file], settings, num_workers=workers)
    return Store(folder / name)


def plan_of(store: Store, packs_per_step: int, tokens: int = BUDGETS.tokens) -> tuple[Index, Plan]:
    """Index and plan over all sources of a store, in proportion to their samples, for packs of `tokens` tokens."""
    processor, budgets = processor_2b(), replace(BUDGETS, tokens=tokens, visual_tokens=tokens)
    index = index_store(store, list(store.sources), processor.config, processor.settings, budgets)
    sizes = {name: len(lengths) for name, lengths in index.sources.items() if len(lengths)}
    shares = {name: max(1, round(1000 * size / sum(sizes.values()))) for name, size in sizes.items()}
    return index, Plan(index.sources, config_of(shares, packs_per_step, budgets))


def config_of(shares: dict[str, int], packs_per_step: int, budgets: Budgets = BUDGETS) -> PlanConfig:
    """A plan of one phase with one mixture of sources."""
    return PlanConfig(phases=(Phase(mixtures=(shares,)),), budgets=budgets, packs_per_step=packs_per_step)
