"""Which tensor of a checkpoint is which parameter: names and shapes, in both published namings.

Parameters here carry the names of the original checkpoints (2024), so the table is short:

    here and original    newer (transformers >= 4.52)    shape
    visual.*             model.visual.*                  the same, but the patch kernel [D, 1176] is [D, 3, 2, 14, 14]
    model.*              model.language_model.*          the same
    lm_head.weight       lm_head.weight                  the same; absent where it is tied to the embedding

Both namings are read, even mixed; the original one is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import VisionConfig

Shape = tuple[int, ...]

PREFIXES = (("visual.", "model.visual."), ("model.", "model.language_model."), ("lm_head.", "lm_head."))
"""Original and newer beginning of every name."""

PATCH_KERNEL = "visual.patch_embed.proj.weight"
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One parameter: what it is called in files, and its shape there and in the module (same numbers, same order)."""

    name: str
    """Of the parameter, and in files of the original naming."""
    newer: str
    """In files of the newer naming; equal to `name` for the head."""
    shape: Shape
    disk_shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where every parameter lies in the files at hand."""

    tensors: tuple[tuple[Entry, str], ...]
    """Parameter and the name of its tensor in the files."""
    tied: tuple[str, str] | None
    """Names of embedding and head where the files hold both although they are tied: the two must be equal."""


def tensor_table(model: Qwen2VL) -> tuple[Entry, ...]:
    """An entry for every parameter, in the order of the module; a tied head has none. A model on meta will do."""
    return tuple(
        Entry(
            name=name,
            newer=newer_name(name),
            shape=tuple(parameter.shape),
            disk_shape=kernel_shape(model.config.vision) if name == PATCH_KERNEL else tuple(parameter.shape),
        )
        for name, parameter in model.named_parameters()
    )


def newer_name(name: str) -> str:
    return next(newer + name.removeprefix(original) for original, newer in PREFIXES if name.startswith(original))


def kernel_shape(vision: VisionConfig) -> Shape:
    """Of the 3D convolution that the patch embedding is in files: (width, channels, frames, rows, columns)."""
    side = vision.patch_size
    return (vision.embed_dim, vision.in_channels, vision.temporal_patch_size, side, side)


def match(table: tuple[Entry, ...], stored: Mapping[str, Shape], where: str) -> Match:
    """Pair every parameter with exactly one of the stored tensors (name to shape); `where` names the files in errors.

    A tied model's files may hold the head as well, as some training tools write it.
    Raises CheckpointError that counts and names what is missing, extra, there twice or misshapen.
    """
    found = [(entry, [name for name in dict.fromkeys((entry.name, entry.newer)) if name in stored]) for entry in table]
    pairs = tuple((entry, names[0]) for entry, names in found if len(names) == 1)
    extra = set(stored) - {name for _, names in found for name in names}
    tied = None
    if HEAD in extra and any(entry.name == EMBEDDING for entry in table):  # an untied head would have an entry
        tied = (next((name for entry, name in pairs if entry.name == EMBEDDING), EMBEDDING), HEAD)
        extra.remove(HEAD)
    problems = {
        "lacks {}": [entry.name for entry, names in found if not names],
        "has {} too many": sorted(extra),
        "has {} under two names": [entry.name for entry, names in found if len(names) > 1],
        "has {} of another shape": [
            f"{name} {list(stored[name])} instead of {list(entry.disk_shape)}"
            for entry, name in pairs
            if stored[name] != entry.disk_shape
        ],
    }
    refuse(problems, where)
    return Match(tensors=pairs, tied=tied)


def refuse(problems: Mapping[str, list[str]], where: str) -> None:
    found = [phrase.format(count(names)) + f" ({first(names)})" for phrase, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f'the checkpoint "{where}" {", ".join(found)}: its tensors must be exactly those that its config.json asks '
            "for, so give the config.json and all tensor files of the same model"
        )


def count(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) != 1 else ''}"


def first(names: list[str], shown: int = 3) -> str:
    """a, b; and of more than three: a, b, c, ..."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
