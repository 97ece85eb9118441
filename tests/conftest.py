"""A small model that was taught a few answers, for tests of everything that sits on a model: real classes, no mocks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl.spec.inputs import pack
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.tokens import TokenIds

CONTEXT = 1024
TAUGHT = {
    "Where?": "<|object_ref_start|>red dot<|object_ref_end|><|box_start|>(100,200),(500,600)<|box_end|>",
    "Point": "<|object_ref_start|>red dot<|object_ref_end|><|box_start|>(500,250)<|box_end|>",
    "Greet": "Good day, dear world. END of it.",
    "Loop": "on and " * 135,
}
"""Question -> answer. The last one goes round in circles."""


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """An image of 140x84 pixels with a red dot."""
    pixels = np.full((84, 140, 3), 255, dtype=np.uint8)
    pixels[20:40, 20:60] = (255, 0, 0)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def taught_processor() -> Processor:
    tokenizer = build_nano_tokenizer([" and", " on", "Where", "Good", " day", " dear", " world", " red", " dot"])
    config = Qwen2VLConfig(
        vision=VisionConfig(hidden_size=64, depth=1, embed_dim=32, num_heads=2),
        text=TextConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=tokenizer.size + 7,
            mrope_section=(2, 3, 3),
            rope_theta=10_000.0,
            max_position_embeddings=CONTEXT,
        ),
        tokens=TokenIds(bos=0, eos=2, vision_start=9, vision_end=10, vision_pad=11, image_pad=12, video_pad=13),
    )
    return Processor(tokenizer, config, MediaSettings(video_min_pixels=4 * 784))


@pytest.fixture(scope="session")
def taught_model(taught_processor: Processor, photo: Image.Image) -> Qwen2VL:
    """Knows the answers of TAUGHT by heart, with the photo for the first two; takes about five seconds."""
    model = new_model(taught_processor.config, 0)
    rows = []
    for number, (question, answer) in enumerate(TAUGHT.items()):
        media = [{"type": "image", "image": photo}] if number < 2 else []
        messages = [
            {"role": "user", "content": [*media, {"type": "text", "text": question}]},
            {"role": "assistant", "content": answer},
        ]
        rows.append(taught_processor(messages, add_generation_prompt=False, with_labels=True))
    rows[-1].labels[rows[-1].ids == taught_processor.config.tokens.eos] = -100  # the loop never learns to end
    row = pack(rows)
    targets = (row.labels != -100).nonzero().squeeze(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = cross_entropy(model(row, rows=targets - 1).logits, row.labels[targets], reduction="none")
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        if float(loss.detach().max()) < 0.02:
            return model.eval()
    raise AssertionError(f"the model has not learned its answers, largest loss {float(loss.detach().max()):.3f}")


@pytest.fixture(scope="session")
def taught_directory(tmp_path_factory, taught_model: Qwen2VL, taught_processor: Processor) -> Path:
    """The same as a checkpoint directory."""
    from qwen2vl.model.checkpoint import save_checkpoint

    directory = tmp_path_factory.mktemp("checkpoints") / "taught"
    save_checkpoint(taught_model, taught_processor, directory)
    return directory
