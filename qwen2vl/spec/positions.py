"""Positions of tokens and patches, computed once on the CPU; they travel in the batch as data.

Tokens have three axes (time, row, column), patches inside the tower have two (row, column). Patches attend to each other
inside segment boundaries, one segment a frame.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import MessageError
from qwen2vl.spec.config import Qwen2VLConfig, VisionConfig


def mrope_positions(ids: Sequence[int] | Ints, grids: Sequence[Sequence[int]] | Ints, config: Qwen2VLConfig) -> Ints:
    """Three-axis positions of ONE document, int64 [3, T], from ids [T] and grids [N, 3] (t, h, w in patches).

    Text advances all axes by one. An image or video of grid (t, h, w) spreads over its axes from a common offset, and
    the text after it starts at the largest position of *any* axis plus one [paper 3.3]. (transformers >= 5.3 omits
    the time axis there, so text after a long video restarts inside the video.)

    Three text tokens, an image (1, 4, 6), one text token:
        time    0 1 2  3 3 3 3 3 3  6
        row     0 1 2  3 3 3 4 4 4  6
        column  0 1 2  3 4 5 3 4 5  6

    Raises MessageError when placeholders and grids do not match.
    """
    ids = np.asarray(ids, dtype=np.int64)
    if config.text.rope == "1d":
        _ = list(visual_spans(ids, grids, config))  # raises the same errors as with three axes
        return np.broadcast_to(np.arange(len(ids)), (3, len(ids))).copy()
    pieces, start, upcoming = [], 0, 0
    merge = config.vision.spatial_merge_size
    for begin, end, grid in visual_spans(ids, grids, config):
        pieces.append(np.broadcast_to(np.arange(upcoming, upcoming + begin - start), (3, begin - start)))
        upcoming += begin - start
        sizes = (int(grid[0]), int(grid[1]) // merge, int(grid[2]) // merge)
        pieces.append(np.indices(sizes).reshape(3, -1) + upcoming)
        upcoming, start = upcoming + max(sizes), end
    pieces.append(np.broadcast_to(np.arange(upcoming, upcoming + len(ids) - start), (3, len(ids) - start)))
    return np.concatenate(pieces, axis=1).astype(np.int64)


def visual_spans(
    ids: Ints, grids: Sequence[Sequence[int]] | Ints, config: Qwen2VLConfig
) -> Iterator[tuple[int, int, Sequence[int]]]:
    """Runs of placeholders as (begin, end, grid), in textual order.

    Raises MessageError when the number of placeholders is not that of the grids: without this error, pixels would be
    assigned to the wrong words.
    """
    is_pad = (ids == config.tokens.image_pad) | (ids == config.tokens.video_pad)
    pads = np.flatnonzero(is_pad)
    expected = sum(int(np.prod(grid)) // config.vision.merge_unit for grid in grids)
    if len(pads) != expected:
        raise MessageError(
            f"the text has {len(pads)} visual placeholders, but its {len(grids)} images and videos make {expected} "
            "tokens: pass each image exactly where the text names it"
        )
    at = 0
    for grid in grids:
        count = int(np.prod(grid)) // config.vision.merge_unit
        begin, end = int(pads[at]), int(pads[at + count - 1]) + 1
        if end - begin != count:
            raise MessageError(
                f"the {count} placeholders of the image or video with grid {tuple(int(n) for n in grid)} are "
                "interrupted by other tokens: an image's placeholders must be one unbroken run"
            )
        yield begin, end, grid
        at += count


def patch_positions(grids: Sequence[Sequence[int]] | Ints, vision: VisionConfig) -> Ints:
    """Row and column of every patch, in the order of the patches, int64 [P, 2] [paper 2.3, 2.4].

    Patches are ordered by 2x2 merge blocks, so a 4x4 grid begins (0,0) (0,1) (1,0) (1,1) (0,2) (0,3) (1,2) (1,3). Rows and columns
    start at 0 in every frame; time is not encoded inside the tower.
    """
    merge = vision.spatial_merge_size
    pieces = [np.zeros((0, 2), dtype=np.int64)]
    for t, h, w in np.asarray(grids, dtype=np.int64).reshape(-1, 3):
        cells = np.indices((h, w)).reshape(2, h // merge, merge, w // merge, merge)
        in_order = cells.transpose(1, 3, 2, 4, 0).reshape(-1, 2)
        pieces.append(np.tile(in_order, (t, 1)))
    return np.concatenate(pieces)


def patch_segments(grids: Sequence[Sequence[int]] | Ints) -> Ints:
    """Boundaries of the frames inside which patches attend to each other, int64 [F+1], from 0 to P [paper 2.5].

    A grid (2, 4, 6) and a grid (1, 2, 2) give [0, 24, 48, 52].
    """
    grids = np.asarray(grids, dtype=np.int64).reshape(-1, 3)
    lengths = np.repeat(grids[:, 1] * grids[:, 2], grids[:, 0])
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
