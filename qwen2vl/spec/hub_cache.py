"""Copies of published checkpoints that other programs have downloaded into the local hub cache. Nothing is downloaded here.

    ~/.cache/huggingface/hub/models--Qwen--Qwen2-VL-2B-Instruct/refs/main                the name of the newest snapshot
    ~/.cache/huggingface/hub/models--Qwen--Qwen2-VL-2B-Instruct/snapshots/NAME/config.json

HF_HUB_CACHE, or HF_HOME with "hub" in it, name another folder, as for the programs of the hub.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path


def is_hub_id(source: str) -> bool:
    """Whether a text has the form of a hub id, "owner/name". A relative path of two folders has it too."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source, re.ASCII) is not None


def cache_folder() -> Path:
    """The hub cache of this user; it may not exist."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    home = os.environ.get("HF_HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(home) if home else Path(caches) / "huggingface").expanduser() / "hub"


def find_snapshot(repository: Path) -> Path | None:
    """The newest complete snapshot in the folder of a repository, `models--owner--name`; None without one.

    Complete means that it has a config, and every file is there: the cache links to files that it may still be fetching.
    """
    return next((snapshot for snapshot in _snapshots(repository) if _is_complete(snapshot)), None)


def _snapshots(repository: Path) -> Iterator[Path]:
    """Snapshots, first the one that is named main, then the newest ones."""
    main = repository / "refs" / "main"
    if main.is_file():
        yield repository / "snapshots" / main.read_text(encoding="utf-8").strip()
    folders = repository / "snapshots"
    if folders.is_dir():
        yield from sorted(folders.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)


def _is_complete(snapshot: Path) -> bool:
    has_weights = any(snapshot.glob("*.safetensors"))
    return has_weights and (snapshot / "config.json").is_file() and all(file.exists() for file in snapshot.iterdir())


def find_copy(hub_id: str) -> Path | None:
    """The copy of a published checkpoint in the cache, by its hub id; None without one."""
    return find_snapshot(cache_folder() / f"models--{hub_id.replace('/', '--')}")
