import pytest

from qwen2vl.inference import Chat


@pytest.fixture(scope="session")
def chat(taught_model, taught_processor) -> Chat:
    return Chat.from_parts(taught_model, taught_processor)
