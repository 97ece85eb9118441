"""pyarrow, which only the extra `train` brings: everything that touches a store takes it from here."""

from qwen2vl.common.errors import ConfigError

try:
    import pyarrow as pa
except ModuleNotFoundError as error:
    raise ConfigError('stores of records need pyarrow, which is not installed: pip install "qwen2vl[train]"') from error

__all__ = ["pa"]
