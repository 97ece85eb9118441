"""pyarrow, for all modules that read or write a store. Only the extra `train` installs it. Raises ConfigError without it."""

from qwen2vl.common.errors import ConfigError

try:
    import pyarrow as pa
except ModuleNotFoundError as error:
    raise ConfigError('stores of records need pyarrow, which is not installed: pip install "qwen2vl[train]"') from error

__all__ = ["pa"]
