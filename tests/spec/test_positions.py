"""Positions against the golden vectors of the fact sheet, section 3.3, and against a loop over the tokens."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.common.errors import MessageError
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.positions import mrope_positions, patch_positions, patch_segments, visual_spans

CONFIG = Qwen2VLConfig.named("2b")
IMAGE, VIDEO = CONFIG.tokens.image_pad, CONFIG.tokens.video_pad
Piece = int | tuple[int, int, int]
"""A run of text tokens, or the grid of an image (time 1) or video."""


def row_of(pieces: list[Piece]) -> tuple[list[int], list[tuple[int, int, int]]]:
    ids: list[int] = []
    grids = []
    for piece in pieces:
        if isinstance(piece, int):
            ids += [7] * piece
        else:
            ids += [IMAGE if piece[0] == 1 else VIDEO] * (piece[0] * piece[1] * piece[2] // 4)
            grids.append(piece)
    return ids, grids


def walked(pieces: list[Piece]) -> list[tuple[int, int, int]]:
    """The rule of the paper, applied to one token after the other."""
    rows: list[tuple[int, int, int]] = []
    following = 0
    for piece in pieces:
        if isinstance(piece, int):
            rows += [(following + i,) * 3 for i in range(piece)]
        else:
            t, h, w = piece[0], piece[1] // 2, piece[2] // 2
            rows += [
                (following + a, following + b, following + c) for a in range(t) for b in range(h) for c in range(w)
            ]
        following = max((max(row) for row in rows), default=-1) + 1
    return rows


def positions(pieces: list[Piece]) -> np.ndarray:
    return mrope_positions(*row_of(pieces), CONFIG)


def test_an_image_has_the_golden_positions() -> None:
    result = positions([3, (1, 4, 6), 3])
    assert result.dtype == np.int64
    assert result.T[3:9].tolist() == [[3, 3, 3], [3, 3, 4], [3, 3, 5], [3, 4, 3], [3, 4, 4], [3, 4, 5]]
    assert result.T[9:].tolist() == [[6] * 3, [7] * 3, [8] * 3]
    assert result.max() + 1 - result.shape[1] == -3


def test_text_after_a_video_continues_after_its_last_time() -> None:
    result = positions([3, (5, 4, 4), 3])
    assert result.shape == (3, 26)
    assert sorted(set(result[0, 3:23].tolist())) == [3, 4, 5, 6, 7]
    assert result[:, 23:].tolist() == [[8, 9, 10]] * 3
    assert result.max() + 1 - 26 == -15


def test_interleaved_text_and_media_have_the_golden_positions() -> None:
    result = positions([4, (1, 16, 16), 2, (1, 8, 4), 2, (10, 8, 8), 5]).T
    assert len(result) == 245
    known = {4: [4, 4, 4], 67: [4, 11, 11], 68: [12] * 3, 70: [14] * 3, 77: [14, 17, 15], 78: [18] * 3, 80: [20] * 3}
    assert {index: result[index].tolist() for index in known} == known
    assert result[239].tolist() == [29, 23, 23]
    assert result[240:].tolist() == [[n] * 3 for n in range(30, 35)]
    assert result.max() + 1 - 245 == -210


grids = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)).map(lambda g: (g[0], 2 * g[1], 2 * g[2]))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.integers(0, 5), grids), max_size=8))
def test_positions_equal_those_of_the_loop_and_never_decrease(pieces: list[Piece]) -> None:
    result = positions(pieces)
    assert [tuple(row) for row in result.T.tolist()] == walked(pieces)
    ids, some_grids = row_of(pieces)
    for begin, end, _ in visual_spans(np.array(ids), some_grids, CONFIG):
        before, after = result[:, :begin], result[:, end:]
        assert before.size == 0 or before.max() < result[:, begin:end].min()
        assert after.size == 0 or after.min() > result[:, begin:end].max()


def test_positions_of_text_count_its_tokens() -> None:
    assert positions([4]).tolist() == [[0, 1, 2, 3]] * 3
    assert positions([]).shape == (3, 0)


def test_one_dimensional_baseline_counts_tokens() -> None:
    config = replace(CONFIG, text=replace(CONFIG.text, rope="1d"))
    ids, some_grids = row_of([2, (1, 4, 4), 2])
    assert mrope_positions(ids, some_grids, config).tolist() == [list(range(8))] * 3
    with pytest.raises(MessageError):
        mrope_positions(ids, [], config)


def test_adjacent_images_are_separated_by_their_grids() -> None:
    result = positions([(1, 4, 4), (1, 2, 2)])
    assert result.T.tolist()[-1] == [2, 2, 2]


@pytest.mark.parametrize(
    ("ids", "grids", "message"),
    [
        ([1, IMAGE], [], "1 visual placeholders"),
        ([1, 2], [(1, 2, 2)], "0 visual placeholders"),
        ([IMAGE, 5, IMAGE, IMAGE, IMAGE], [(1, 4, 4)], "are interrupted by other tokens"),
        ([IMAGE] * 3, [(1, 4, 4)], "make 4"),
    ],
)
def test_placeholders_and_grids_must_match(ids: list[int], grids: list[tuple[int, int, int]], message: str) -> None:
    with pytest.raises(MessageError, match=message):
        mrope_positions(ids, grids, CONFIG)


def test_patches_are_ordered_by_merge_blocks() -> None:
    result = patch_positions([(1, 4, 6)], CONFIG.vision).tolist()
    assert result[:8] == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert result[12:16] == [[2, 0], [2, 1], [3, 0], [3, 1]]


@settings(deadline=None, max_examples=50)
@given(st.lists(grids, max_size=4))
def test_patch_positions_cover_every_frame_once(some_grids: list[tuple[int, int, int]]) -> None:
    result = patch_positions(some_grids, CONFIG.vision)
    bounds = patch_segments(some_grids)
    sizes = [(h, w) for t, h, w in some_grids for _ in range(t)]
    assert bounds[0] == 0
    assert bounds[-1] == len(result) == sum(h * w for h, w in sizes)
    assert len(bounds) == len(sizes) + 1
    for begin, end, (h, w) in zip(bounds[:-1], bounds[1:], sizes, strict=True):
        assert sorted(map(tuple, result[begin:end].tolist())) == [(row, col) for row in range(h) for col in range(w)]


def test_every_frame_is_one_segment() -> None:
    assert patch_segments([(2, 4, 6), (1, 2, 2)]).tolist() == [0, 24, 48, 52]
    assert patch_segments([]).tolist() == [0]
