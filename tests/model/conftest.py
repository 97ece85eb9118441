"""A model of 0.2 M parameters in which every weight has an effect, and rows of text, images and videos for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.positions import mrope_positions
from qwen2vl.spec.tokens import TokenIds

TINY = Qwen2VLConfig(
    vision=VisionConfig(hidden_size=64, depth=2, embed_dim=32, num_heads=2),
    text=TextConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        mrope_section=(2, 3, 3),
        max_position_embeddings=512,
    ),
    tokens=TokenIds(bos=0, eos=2, vision_start=9, vision_end=10, vision_pad=11, image_pad=12, video_pad=13),
)
FIRST_TEXT_ID = 20

Part = int | tuple[int, int, int]
"""A number of text tokens, or the grid of an image (t = 1) or video."""


@pytest.fixture(scope="session")
def tiny() -> Qwen2VLConfig:
    return TINY


@pytest.fixture(scope="session")
def tied() -> Qwen2VLConfig:
    return replace(TINY, text=replace(TINY.text, tie_word_embeddings=True))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Qwen2VL]:
    """A model in eval mode with large random weights everywhere, norms and biases too, so that each has an effect."""

    def make(config: Qwen2VLConfig = TINY, seed: int = 0) -> Qwen2VL:
        model = new_model(config, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * 0.1 + (1.0 if "norm" in name or "ln_q.weight" in name else 0.0))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def model(make_model: Callable[..., Qwen2VL]) -> Qwen2VL:
    return make_model()


@pytest.fixture(scope="session")
def make_row() -> Callable[..., ModelInputs]:
    """One document made of parts, with random text and pixels."""

    def make(parts: Sequence[Part], seed: int = 0, config: Qwen2VLConfig = TINY) -> ModelInputs:
        random = np.random.default_rng(seed)
        ids: list[int] = []
        for part in parts:
            if isinstance(part, int):
                ids += random.integers(FIRST_TEXT_ID, config.text.vocab_size, part).tolist()
                continue
            pad = config.tokens.image_pad if part[0] == 1 else config.tokens.video_pad
            count = int(np.prod(part)) // config.vision.merge_unit
            ids += [config.tokens.vision_start, *[pad] * count, config.tokens.vision_end]
        grids = np.array([part for part in parts if not isinstance(part, int)], np.int64).reshape(-1, 3)
        patches = random.integers(0, 256, (int(grids.prod(1).sum()), config.vision.patch_dim), np.uint8)
        return ModelInputs(
            ids=torch.tensor(ids),
            positions=torch.from_numpy(mrope_positions(ids, grids, config)),
            segments=torch.tensor([0, len(ids)], dtype=torch.int32),
            patches=torch.from_numpy(patches),
            grids=torch.from_numpy(grids),
        )

    return make
