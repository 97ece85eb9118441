"""Writing files completely or not at all, and their checksums."""

import hashlib
import os
from pathlib import Path

from qwen2vl.common.errors import Qwen2VLError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file, sync it, rename it: after a kill or on a full disk the old or the new file exists, never half.

    Raises Qwen2VLError when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def append_line(path: Path, line: str) -> None:
    """Append one line and sync it to the disk before returning. Raises Qwen2VLError when it cannot be written."""
    try:
        with path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> Qwen2VLError:
    """The error for a file that cannot be written."""
    return Qwen2VLError(
        f'"{path}" cannot be written ({error.strerror or type(error).__name__}): make room or choose another folder, '
        "then run the same command again"
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
