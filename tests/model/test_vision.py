"""The tower: packing and chunks do not change its result, and its parts compute what the paper defines."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.model.vision import chunk_frames
from qwen2vl.processing.images import patchify
from qwen2vl.spec.config import Qwen2VLConfig

GRIDS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda n: 2 * n), st.integers(1, 3).map(lambda n: 2 * n)),
    min_size=1,
    max_size=4,
)


def pixels(grids: list[tuple[int, int, int]], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    counts = np.prod(np.array(grids), axis=1)
    patches = np.random.default_rng(seed).integers(0, 256, (int(counts.sum()), 1176), np.uint8)
    return torch.from_numpy(patches), torch.tensor(grids)


@settings(deadline=None, max_examples=20)
@given(grids=GRIDS)
def test_images_in_one_row_equal_images_one_by_one(model: Qwen2VL, grids: list[tuple[int, int, int]]) -> None:
    patches, table = pixels(grids)
    with torch.inference_mode():
        together = model.visual(patches, table)
        pieces = patches.split(table.prod(1).tolist())
        alone = [model.visual(piece, table[i : i + 1]) for i, piece in enumerate(pieces)]
    assert together.shape == (len(patches) // 4, 64)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(grids=GRIDS, max_patches=st.integers(1, 80))
def test_running_in_chunks_equals_running_at_once(
    model: Qwen2VL, grids: list[tuple[int, int, int]], max_patches: int
) -> None:
    patches, table = pixels(grids)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.visual(patches, table, max_patches), model.visual(patches, table), atol=1e-5, rtol=1e-5
        )


def test_chunks_are_bounded_and_cover_every_frame() -> None:
    bounds = np.array([0, 4, 8, 12, 40, 44, 48])
    assert chunk_frames(bounds, 8) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]
    assert chunk_frames(bounds, 100) == [slice(0, 6)]


def test_an_image_is_a_video_of_two_equal_frames(model: Qwen2VL) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 56, 84, 3), np.uint8)
    image, still, longer = (torch.from_numpy(patchify(np.repeat(frame, n, axis=0))) for n in (1, 2, 4))
    with torch.inference_mode():
        one = model.visual(image, torch.tensor([[1, 4, 6]]))
        assert torch.equal(one, model.visual(still, torch.tensor([[1, 4, 6]])))
        torch.testing.assert_close(model.visual(longer, torch.tensor([[2, 4, 6]])), torch.cat([one, one]))


def test_patch_embedding_is_the_published_convolution(model: Qwen2VL) -> None:
    patches = torch.randn(5, 1176)
    kernel = model.visual.patch_embed.proj.weight.view(-1, 3, 2, 14, 14)
    with torch.inference_mode():
        convolved = torch.conv3d(patches.view(5, 3, 2, 14, 14), kernel, stride=(2, 14, 14)).view(5, -1)
        torch.testing.assert_close(model.visual.patch_embed(patches), convolved, atol=1e-5, rtol=1e-5)


def test_bytes_are_normalised_with_the_checkpoints_statistics(model: Qwen2VL, tiny: Qwen2VLConfig) -> None:
    patches, table = pixels([(1, 4, 4)])
    mean, std = (torch.tensor(x)[:, None] for x in (tiny.vision.image_mean, tiny.vision.image_std))
    normal = (patches.view(-1, 3, 392) / 255 - mean) / std
    torch.testing.assert_close(model.visual.patch_embed.normalise(patches), normal.flatten(1), atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.visual(patches, table), model.visual(normal.flatten(1), table), atol=1e-4, rtol=1e-4
        )


def test_frames_do_not_see_each_other(model: Qwen2VL) -> None:
    patches, table = pixels([(2, 4, 4)])
    changed = patches.clone()
    changed[16:] = 255 - changed[16:]
    with torch.inference_mode():
        before, after = model.visual(patches, table), model.visual(changed, table)
    assert torch.equal(before[:4], after[:4])
    assert not torch.allclose(before[4:], after[4:])


def test_patches_and_grids_must_agree(model: Qwen2VL) -> None:
    with pytest.raises(AssertionError, match="the grids need 16 patches, but there are 12"):
        model.visual(torch.zeros(12, 1176), torch.tensor([[1, 4, 4]]))
