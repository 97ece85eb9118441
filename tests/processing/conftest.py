"""nano's tokenizer built in memory, and processors that use it: no test here needs the shipped checkpoint."""

import pytest

from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import Tokenizer, build_nano_tokenizer
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings

WORDS = ["What", "Where", "How", "You", "is", "the", "red", "circle", "in", "image", "a", "helpful", "house", "glass"]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return build_nano_tokenizer(WORDS)


@pytest.fixture(scope="session")
def processor(tokenizer: Tokenizer) -> Processor:
    return Processor(tokenizer, NANO, MediaSettings(video_min_pixels=4 * 784))
