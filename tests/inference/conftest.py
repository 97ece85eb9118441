import pytest
import torch

from qwen2vl.inference import Chat


@pytest.fixture(scope="session")
def chat(taught_model, taught_processor) -> Chat:
    return Chat.from_parts(taught_model, taught_processor)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The taught model is too small for more threads to help."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
