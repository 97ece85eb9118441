"""Agreements between processing and model: sizes, tokens, grids, positions, costs. Without torch, except `spec.inputs`.

Read in this order: `tokens`, `config` (numbers of a model; `hub_config` reads its published files), `media_settings` and
`resize` (sizes of images and videos), `costs`, `positions` (three-axis positions), `inputs` (what the model receives).
"""

from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.spec.hub_cache import cache_folder, find_copy, find_snapshot, is_hub_id

PACKAGED_NANO = Path(__file__).resolve().parent.parent / "nano" / "checkpoint"
"""Directory of the shipped checkpoint. Defined only here, so `model` and `processing` do not depend on `nano`."""


def resolve_source(source: str | Path) -> Path:
    """Directory of a checkpoint: the packaged one for "nano", the copy in the local hub cache for a hub id, else the path itself.

    A directory goes before a hub id of the same name. Raises ConfigError for the folder of a training run, or one in it, and
    for an adapter, which are no whole checkpoints, and for a hub id without a copy.
    """
    if str(source) == "nano":
        return PACKAGED_NANO
    folder = Path(source)
    if not folder.exists() and is_hub_id(str(source)):
        copy = find_copy(str(source))
        if copy is None:
            raise ConfigError(
                f'there is no directory "{source}", and no complete copy of a model of this name in {cache_folder()}: check '
                f"the path, or download the model with hf download {source}"
            )
        return copy
    if (folder / "snapshots").is_dir():  # the folder of a repository in that cache
        folder = find_snapshot(folder) or folder
    is_whole = (folder / "config.json").is_file()
    if is_run(folder) or not is_whole:
        for run in (folder, *list(folder.parents)[:2]):
            if is_run(run):
                raise ConfigError(how_to_use_run(folder, run))
    if not is_whole and (folder / "adapter_config.json").is_file():
        raise ConfigError(
            f'"{folder}" is an adapter and no whole model: give the checkpoint that it was trained on as the model, and '
            "this directory with --adapter (adapter= in Python)"
        )
    return folder


def is_run(path: Path) -> bool:
    """Whether a folder is the directory of a training run."""
    return (path / "checkpoints").is_dir() and (path / "model" / "config.json").is_file()


def how_to_use_run(given: Path, run: Path) -> str:
    """The sentence that refuses a run, or a folder in it, as a checkpoint, with the command that makes one."""
    where = f'"{given}" is the folder of a training run' if given == run else f'"{given}" is a part of the run "{run}"'
    if (run / "adapter").is_dir():
        return (
            f"{where} and no checkpoint: give the checkpoint that the run began with as the model, and its adapter with "
            f"--adapter {run / 'adapter'} (adapter= in Python)"
        )
    return (
        f"{where} and no checkpoint: write its newest weights with qwen2vl convert {run} --out DIR, then give DIR as the "
        "model"
    )
