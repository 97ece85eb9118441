"""Keys for everything that must be a function of names and numbers: shuffles, held-out rows, drawn items."""

import hashlib


def key_of(*parts: object) -> int:
    """64 bits that depend on every part, the same in every process and release: hash() of a str is not."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
