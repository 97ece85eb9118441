"""The small store that training tests read."""

from tests.training.conftest import processor, store

__all__ = ["processor", "store"]
