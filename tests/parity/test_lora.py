"""A checkpoint into which `convert` merged one of our adapters gives the same logits in transformers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen2vl.model.checkpoint import convert, load_model
from qwen2vl.model.lora import (
    DECODER_TARGETS,
    TOWER_TARGETS,
    LoraConfig,
    adapter_edit,
    adapter_state,
    add_adapter,
    save_adapter,
)
from qwen2vl.processing.images import patchify
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.positions import mrope_positions

transformers = pytest.importorskip("transformers", minversion="5.23", reason="parity needs transformers 5.23")

EVERYWHERE = LoraConfig(rank=4, alpha=8.0, targets=(*DECODER_TARGETS, *TOWER_TARGETS), parts=("tower", "decoder"))


@pytest.mark.parametrize("naming", ["original", "newer"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_logits_with_a_merged_adapter_are_equal(
    checkpoints: Callable[[bool, str], Path], tmp_path: Path, tied: bool, naming: str
) -> None:
    base = checkpoints(tied, naming)
    model = load_model(base, device="cpu", dtype="fp32")
    add_adapter(model, EVERYWHERE, seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in adapter_state(model).items():
        if ".lora_B." in name:
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=generator))
    save_adapter(model, tmp_path / "adapter")
    convert(base, tmp_path / "out", edit=adapter_edit(base, tmp_path / "adapter"))
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "out").eval()

    tokens = model.config.tokens
    ids = [5, 6, tokens.vision_start, *[tokens.image_pad] * 6, tokens.vision_end, *range(20, 40)]
    grids = np.array([[1, 4, 6]])
    pixels = np.random.default_rng(0).integers(0, 256, (1, 56, 84, 3), np.uint8)
    inputs = ModelInputs(
        ids=torch.tensor(ids),
        positions=torch.from_numpy(mrope_positions(ids, grids, model.config)),
        segments=torch.tensor([0, len(ids)], dtype=torch.int32),
        patches=model.visual.patch_embed.normalise(torch.from_numpy(patchify(pixels))),
        grids=torch.from_numpy(grids),
    )
    with torch.inference_mode():
        expected = theirs(
            input_ids=inputs.ids[None],
            position_ids=inputs.positions[:, None],
            pixel_values=inputs.patches,
            image_grid_thw=inputs.grids,
        ).logits[0]
        found = model(inputs).logits
        plain = load_model(base, device="cpu", dtype="fp32")(inputs).logits
    assert float((found - plain).abs().mean()) > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
