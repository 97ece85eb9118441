"""Table of the tensors of a checkpoint and their parameters: names and shapes, in both published namings.

Parameters here have the names of the original checkpoints (2024), so the table is short:

    here and original    newer (transformers >= 4.52)    shape
    visual.*             model.visual.*                  the same, but the patch kernel [D, 1176] is [D, 3, 2, 14, 14]
    model.*              model.language_model.*          the same
    lm_head.weight       lm_head.weight                  the same; absent if it is tied to the embedding

Both namings are read, even mixed; the original one is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.qwen2vl import Qwen2VL

Shape = tuple[int, ...]

PATCH_KERNEL = "visual.patch_embed.proj.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One parameter: its names in files, and its shape there and in the module (same numbers, same order)."""

    name: str
    """Name of the parameter, and of its tensor in the original naming."""
    newer: str
    """Name of its tensor in the newer naming; equal to `name` for the head."""
    shape: Shape
    disk_shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Place of each parameter in the files of a checkpoint."""

    tensors: tuple[tuple[Entry, str], ...]
    """Each parameter and the name of its tensor in the files."""
    tied: tuple[str, str] | None
    """Names of embedding and head if the files hold both although they are tied: the two must be equal."""


def tensor_table(model: Qwen2VL) -> tuple[Entry, ...]:
    """An entry for every parameter, in the order of the module; a tied head has none. Accepts a model on meta."""
    vision = model.config.vision
    side = vision.patch_size
    kernel = (vision.embed_dim, vision.in_channels, vision.temporal_patch_size, side, side)
    return tuple(
        Entry(
            name=name,
            newer=newer_name(name),
            shape=tuple(parameter.shape),
            disk_shape=kernel if name == PATCH_KERNEL else tuple(parameter.shape),
        )
        for name, parameter in model.named_parameters()
    )


def newer_name(name: str) -> str:
    """Name in the newer naming of a parameter, or of an adapter's tensor, with this name in the original one."""
    prefixes = {"visual.": "model.visual.", "model.": "model.language_model.", "lm_head.": "lm_head."}
    return next(
        newer + name.removeprefix(original) for original, newer in prefixes.items() if name.startswith(original)
    )


def match(table: tuple[Entry, ...], stored: Mapping[str, Shape], directory: str) -> Match:
    """Pair every parameter with exactly one of the stored tensors (name to shape); `directory` is for error messages.

    The files of a tied model may hold the head too, as some training tools write it. Raises CheckpointError like
    `match_tensors`.
    """
    embedding, head = "model.embed_tokens.weight", "lm_head.weight"
    has_tied_head = head in stored and all(entry.name != head for entry in table)
    weights = {name: shape for name, shape in stored.items() if not (has_tied_head and name == head)}
    wanted = [((entry.name, entry.newer), entry.disk_shape) for entry in table]
    pairs = tuple(zip(table, match_tensors(wanted, weights, f'the checkpoint "{directory}"'), strict=True))
    stored_embedding = next((name for entry, name in pairs if entry.name == embedding), embedding)
    return Match(tensors=pairs, tied=(stored_embedding, head) if has_tied_head else None)


def match_tensors(
    wanted: Sequence[tuple[tuple[str, ...], Shape]],
    stored: Mapping[str, Shape],
    owner: str,
    rule: str = "its config.json asks for, so give the config.json and all tensor files of the same model",
) -> list[str]:
    """Stored name of each wanted tensor, which is described by its possible names and its shape.

    Raises CheckpointError that counts and names what is missing, extra, stored twice or has another shape; `owner`
    begins the message and `rule` ends it.
    """
    found = [[name for name in dict.fromkeys(names) if name in stored] for names, _ in wanted]
    single = [(names[0], shape) for names, (_, shape) in zip(found, wanted, strict=True) if len(names) == 1]
    problems = {
        "lacks {}": [names[0] for (names, _), hits in zip(wanted, found, strict=True) if not hits],
        "has {} too many": sorted(set(stored) - {name for hits in found for name in hits}),
        "has {} under two names": [names[0] for (names, _), hits in zip(wanted, found, strict=True) if len(hits) > 1],
        "has {} of another shape": [
            f"{name} {list(stored[name])} instead of {list(shape)}" for name, shape in single if stored[name] != shape
        ],
    }
    phrases = [
        phrase.format(f"{len(names)} tensor{'s' if len(names) != 1 else ''}")
        + f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for phrase, names in problems.items()
        if names
    ]
    if phrases:
        raise CheckpointError(f"{owner} {', '.join(phrases)}: its tensors must be exactly those that {rule}")
    return [name for name, _ in single]
