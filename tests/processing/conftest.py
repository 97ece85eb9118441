"""nano's tokenizer built in memory, and processors that use it: no test here needs the shipped checkpoint."""

import pytest

from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import Tokenizer, build_nano_tokenizer
from qwen2vl.spec.config import NANO

WORDS = (
    "What Where Is How You is the red blue circle square in picture a helpful of color user assistant system which came "
    "first before after count point at left right above below house glass"
).split()


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return build_nano_tokenizer(WORDS)


@pytest.fixture(scope="session")
def processor(tokenizer: Tokenizer) -> Processor:
    return Processor(tokenizer, NANO)
