"""Logits of our model and of transformers, on the same files and the same inputs: within 1e-4, same first choice."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen2vl.model.checkpoint import convert, load_model, save_checkpoint
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.images import patchify
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.positions import mrope_positions

transformers = pytest.importorskip("transformers", minversion="5.23", reason="parity needs transformers 5.23")

TOLERANCE = 1e-4
"""Largest difference allowed between logits, which are up to 3.6; the largest one measured is 5.6e-6."""

Checkpoints = Callable[[bool, str], Path]
Part = int | tuple[str, int, int, int]
"""A number of text tokens, or ("image" or "video", number of frames, height, width in pixels)."""

CONVERSATIONS: dict[str, list[Part]] = {
    "text": [40],
    "one image": [5, ("image", 1, 56, 84), 9],
    "several sizes": [3, ("image", 1, 28, 28), 2, ("image", 1, 140, 56), ("image", 1, 56, 112), 7],
    "even video": [4, ("video", 4, 56, 84), 6],
    "odd video": [4, ("video", 5, 56, 56), 6],
    "long video": [4, ("video", 24, 28, 56), 6],
    "video of one frame": [2, ("video", 1, 56, 56), 3],
    "interleaved": [
        3, ("image", 1, 56, 84), 5, ("video", 7, 56, 28), 1, ("image", 1, 84, 84), ("video", 2, 28, 28), 8,
        ("image", 1, 28, 56), 2,
    ],
}  # fmt: skip


def make_inputs(parts: Sequence[Part], config: Qwen2VLConfig, seed: int = 0) -> ModelInputs:
    random, tokens = np.random.default_rng(seed), config.tokens
    ids: list[int] = []
    patches, grids = [np.zeros((0, 1176), np.uint8)], []
    for part in parts:
        if isinstance(part, int):
            ids += random.integers(0, 580, part).tolist()
            continue
        kind, frames, height, width = part
        patches.append(patchify(random.integers(0, 256, (frames, height, width, 3), np.uint8)))
        grids.append(((frames + 1) // 2, height // 14, width // 14))
        pad = tokens.image_pad if kind == "image" else tokens.video_pad
        ids += [tokens.vision_start, *[pad] * (len(patches[-1]) // 4), tokens.vision_end]
    table = np.array(grids, np.int64).reshape(-1, 3)
    return ModelInputs(
        ids=torch.tensor(ids),
        positions=torch.from_numpy(mrope_positions(ids, table, config)),
        segments=torch.tensor([0, len(ids)], dtype=torch.int32),
        patches=torch.from_numpy(np.concatenate(patches)),
        grids=torch.from_numpy(table),
    )


def their_inputs(inputs: ModelInputs, parts: Sequence[Part], config: Qwen2VLConfig) -> dict[str, torch.Tensor]:
    """The same row for transformers: images and videos apart and normalised, with our positions.

    Its own rule for positions after a video differs.
    """
    mean, std = (torch.tensor(x)[:, None] for x in (config.vision.image_mean, config.vision.image_std))
    normal = ((inputs.patches.view(-1, 3, 392) / 255 - mean) / std).flatten(1)
    pieces = normal.split(inputs.grids.prod(1).tolist()) if len(inputs.grids) else ()
    kinds = [part[0] for part in parts if not isinstance(part, int)]
    given = {"input_ids": inputs.ids[None], "position_ids": inputs.positions[:, None]}
    for kind, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        chosen = [i for i, each in enumerate(kinds) if each == kind]
        if chosen:
            given |= {pixels: torch.cat([pieces[i] for i in chosen]), f"{kind}_grid_thw": inputs.grids[chosen]}
    return given


def compare(ours: Qwen2VL, theirs: torch.nn.Module, parts: Sequence[Part], seed: int = 0) -> float:
    inputs = make_inputs(parts, ours.config, seed)
    with torch.inference_mode():
        found = ours(inputs).logits
        expected = theirs(**their_inputs(inputs, parts, ours.config)).logits[0]
    assert expected.std() > 0.3, "logits too alike to compare"
    difference = float((found - expected).abs().max())
    assert difference < TOLERANCE
    assert torch.equal(found.argmax(1), expected.argmax(1))
    return difference


@pytest.fixture(scope="module")
def pairs(checkpoints: Checkpoints) -> dict[tuple[bool, str], tuple[Qwen2VL, torch.nn.Module]]:
    """Our model and that of transformers, from the same directory, by (tied, naming)."""
    return {
        (tied, naming): (
            load_model(checkpoints(tied, naming), device="cpu", dtype="fp32"),
            transformers.Qwen2VLForConditionalGeneration.from_pretrained(checkpoints(tied, naming)).eval(),
        )
        for tied in (True, False)
        for naming in ("original", "newer")
    }


@pytest.mark.parametrize("naming", ["original", "newer"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_logits_are_equal(
    pairs: dict[tuple[bool, str], tuple[Qwen2VL, torch.nn.Module]], name: str, tied: bool, naming: str
) -> None:
    compare(*pairs[tied, naming], CONVERSATIONS[name])


@pytest.mark.parametrize("seed", range(4))
def test_positions_of_images_agree_without_being_given(
    pairs: dict[tuple[bool, str], tuple[Qwen2VL, torch.nn.Module]], seed: int
) -> None:
    """Positions by the rule of transformers equal those of the paper, unless a video is longer in time than in space."""
    ours, theirs = pairs[False, "original"]
    parts: list[Part] = [3 + seed, ("image", 1, 56, 84), 2, ("video", 4, 84, 56), 1, ("image", 1, 28, 140), 4]
    inputs = make_inputs(parts, ours.config, seed)
    given = their_inputs(inputs, parts, ours.config)
    del given["position_ids"]
    kinds = (inputs.ids == ours.config.tokens.image_pad).int() + 2 * (inputs.ids == ours.config.tokens.video_pad).int()
    with torch.inference_mode():
        expected = theirs(**given, mm_token_type_ids=kinds[None]).logits[0]
        torch.testing.assert_close(ours(inputs).logits, expected, atol=TOLERANCE, rtol=0)


class MediaFiles:
    """A processor that writes the pixel statistics only."""

    def save(self, directory: str | Path) -> None:
        (Path(directory) / "preprocessor_config.json").write_text(json.dumps(MediaSettings().image_file()))


@pytest.mark.parametrize("max_shard_bytes", [10**9, 100_000], ids=["single", "sharded"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_loads_saved_checkpoints(
    checkpoints: Checkpoints, tmp_path: Path, tied: bool, max_shard_bytes: int
) -> None:
    ours = load_model(checkpoints(tied, "newer"), device="cpu", dtype="fp32")
    save_checkpoint(ours, MediaFiles(), tmp_path / "ours", max_shard_bytes=max_shard_bytes)
    original = transformers.Qwen2VLForConditionalGeneration.from_pretrained(checkpoints(tied, "newer")).eval()
    reloaded = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "ours").eval()
    for (name, one), (same, other) in zip(original.named_parameters(), reloaded.named_parameters(), strict=True):
        assert name == same
        assert torch.equal(one, other), name
    parts = CONVERSATIONS["interleaved"]
    given = their_inputs(make_inputs(parts, ours.config), parts, ours.config)
    with torch.inference_mode():
        assert torch.equal(original(**given).logits, reloaded(**given).logits)


def test_generation_settings_are_greedy_for_transformers(checkpoints: Checkpoints, tmp_path: Path) -> None:
    ours = load_model(checkpoints(True, "original"), device="cpu", dtype="fp32")
    save_checkpoint(ours, MediaFiles(), tmp_path / "ours")
    settings = transformers.GenerationConfig.from_pretrained(tmp_path / "ours")
    assert (settings.do_sample, settings.eos_token_id, settings.pad_token_id) == (False, [582, 580], 580)


def test_a_converted_checkpoint_loads_in_both(checkpoints: Checkpoints, tmp_path: Path) -> None:
    convert(checkpoints(False, "newer"), tmp_path / "out", max_shard_bytes=100_000)
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    compare(load_model(tmp_path / "out", device="cpu", dtype="fp32"), theirs, CONVERSATIONS["interleaved"])


def test_bf16_is_about_as_exact_as_in_transformers(checkpoints: Checkpoints) -> None:
    """Compared with fp32, our error in bf16 is at most 1.25 times that of transformers."""
    directory, parts = checkpoints(False, "original"), CONVERSATIONS["interleaved"]
    exact, ours = (load_model(directory, device="cpu", dtype=dtype) for dtype in ("fp32", "bf16"))
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(directory, dtype=torch.bfloat16).eval()
    inputs = make_inputs(parts, exact.config)
    given = their_inputs(inputs, parts, exact.config)
    with torch.inference_mode():
        reference = exact(inputs).logits
        our_error = (ours(inputs).logits - reference).abs().mean()
        their_error = (theirs(**given).logits[0].float() - reference).abs().mean()
    assert our_error < 1.25 * their_error


def test_gradients_are_equal(checkpoints: Checkpoints) -> None:
    directory, parts = checkpoints(False, "original"), CONVERSATIONS["interleaved"]
    ours = load_model(directory, device="cpu", dtype="fp32")
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(directory).train()
    inputs = make_inputs(parts, ours.config)
    ours(inputs).logits.square().mean().backward()
    theirs(**their_inputs(inputs, parts, ours.config)).logits.square().mean().backward()
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        longer = name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else f"model.{name}"
        other = expected["lm_head.weight" if name == "lm_head.weight" else longer]
        assert other is not None
        assert parameter.grad is not None
        scale = other.abs().max()
        torch.testing.assert_close(
            parameter.grad, other.view_as(parameter), atol=float(scale) * 1e-4, rtol=1e-3, msg=name
        )
