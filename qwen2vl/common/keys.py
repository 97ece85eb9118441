"""Keys for choices that must depend on names and numbers alone: shuffles, held-out rows, rendered items."""

import hashlib


def key_of(*parts: object) -> int:
    """A 64-bit key that depends on every part, equal in every process and release (hash() of a str is not)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
