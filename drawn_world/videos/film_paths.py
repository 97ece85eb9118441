"""Paths of actors in films: one anywhere in the image, and two in lanes at different speeds."""

from collections.abc import Sequence
from random import Random

from drawn_world.videos.film_scenes import Actor, FilmSetting, Step

WAYS = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up left": (-1, -1),
    "up right": (1, -1),
    "down left": (-1, 1),
    "down right": (1, 1),
}
"""Direction to its signs to the right and down."""
STRAIGHT = tuple(WAYS)[:4]
LEAST_TRAVEL = 16  # pixels
RATIO = 1.6
"""Least ratio of two speeds that are compared."""


def path(rng: Random, setting: FilmSetting, ease: float, actor: Actor) -> tuple[list[Step], str]:
    """The places of an actor in every frame, and its direction; one in nine goes diagonally.

    Some start or end half outside the image, some wait at the start or the end, some change their speed.
    """
    side = setting.side(rng, ease)
    diagonal = rng.random() < 0.11 * (1 - ease)
    direction = rng.choice(tuple(WAYS)[4:] if diagonal else STRAIGHT)
    extent = actor.extent(side)
    outside = [length // 2 if rng.random() < 0.15 * (1 - ease) else 0 for length in extent]
    rooms = [size - length + 2 * out for size, length, out in zip(setting.size, extent, outside, strict=True)]
    most = min(rooms) if diagonal else rooms[0 if WAYS[direction][0] else 1]
    travel = rng.randint(min(most, max(LEAST_TRAVEL, side // 3)), most)
    shares = _shares(rng, setting.num_frames, ease)
    axes = []
    for sign, room, out in zip(WAYS[direction], rooms, outside, strict=True):
        reach = min(room, round(travel * rng.uniform(0.8, 1.25))) if diagonal else travel if sign else 0
        drift = 0 if sign else round(travel * rng.uniform(-0.12, 0.12) * (1 - ease))
        reach = max(-room, min(room, reach * sign + drift))
        start = rng.randint(max(0, -reach), min(room, room - reach)) - out
        axes.append([round(start + reach * share) for share in shares])
    return [(x, y, side) for x, y in zip(*axes, strict=True)], direction


def _shares(rng: Random, frames: int, ease: float) -> list[float]:
    """The share of its way that an actor has gone in every frame, from 0 to 1."""
    power = 1.0 if rng.random() < max(ease, 0.5) else rng.uniform(0.6, 1.7)
    waits = (0, 0)
    if frames >= 6 and rng.random() < 0.2 * (1 - ease):
        waits = rng.randint(0, frames // 3), rng.randint(0, frames // 3)
    moving = frames - 1 - sum(waits)
    return [(min(max(index - waits[0], 0), moving) / moving) ** power for index in range(frames)]


def lanes(rng: Random, setting: FilmSetting, ease: float, actors: Sequence[Actor]) -> list[tuple[list[Step], str]]:
    """The places of two actors, each with its direction: the first is faster by RATIO or more."""
    axis = 0 if rng.random() < ease else rng.randrange(2)
    width = setting.size[1 - axis] // 2
    sides = [min(setting.side(rng, ease, 0.3), width - 3) for _ in actors]
    extents = [actor.extent(side) for actor, side in zip(actors, sides, strict=True)]
    far = rng.randint(*(round((setting.size[axis] - extents[0][axis]) * share) for share in (0.7, 1)))
    near = rng.randint(6, max(6, min(round(far / RATIO), setting.size[axis] - extents[1][axis])))
    made = []
    for extent, side, travel, lane in zip(extents, sides, (far, near), rng.sample((0, 1), 2), strict=True):
        back = rng.random() < 0.5 * (1 - ease)
        start = rng.randint(0, setting.size[axis] - extent[axis] - travel) + (travel if back else 0)
        across = lane * width + rng.randint(0, max(0, width - extent[1 - axis]))
        shares = [index / (setting.num_frames - 1) for index in range(setting.num_frames)]
        along = [round(start + travel * share * (-1 if back else 1)) for share in shares]
        steps = [(place, across, side) if axis == 0 else (across, place, side) for place in along]
        made.append((steps, (("right", "left"), ("down", "up"))[axis][back]))
    return made
