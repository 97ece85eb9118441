"""A tower filled from a CLIP computes what that CLIP computes; a CLIP that does not fit is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.attention import AttentionLayout
from qwen2vl.model.checkpoint import load_clip_tower
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.model.rotary import vision_rotary
from qwen2vl.processing.images import patchify
from qwen2vl.spec.config import CLIP_MEAN, CLIP_STD, Qwen2VLConfig
from qwen2vl.spec.positions import patch_positions

Tensors = dict[str, torch.Tensor]
Edit = Callable[..., None]
EPS = 1e-6
"""Epsilon of our tower, given to the CLIP too, so that only weights can differ."""


@pytest.fixture(scope="module")
def clip() -> Any:
    """A CLIP of the tiny model's size with large random weights everywhere."""
    transformers = pytest.importorskip("transformers", reason="compares with transformers' CLIP")
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    ids = {"vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.CLIPConfig(
        vision_config={**vision, "image_size": 56, "patch_size": 14, "layer_norm_eps": EPS},
        text_config=text | ids,
        projection_dim=8,
    )
    model = transformers.CLIPModel(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.1 + (1.0 if "norm" in name and "weight" in name else 0.0))
    return model


@pytest.fixture
def whole(clip: Any, tmp_path: Path) -> Path:
    """The whole CLIP as transformers writes it."""
    clip.save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


def open_clip_name(name: str) -> str:
    """Name in open_clip of a tensor of transformers, with q, k and v still separate."""
    for theirs, ours in (
        ("vision_model.encoder.layers", "visual.transformer.resblocks"),
        ("vision_model.embeddings.patch_embedding", "visual.conv1"),
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
        ("visual_projection.weight", "visual.proj"),
        ("layer_norm", "ln_"),
        ("self_attn", "attn"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ):
        name = name.replace(theirs, ours)
    return name


@pytest.fixture
def open_clip(whole: Path, tmp_path: Path) -> Path:
    """The same tower, and one tensor of the text side, as open_clip writes it."""
    stored = load_file(whole / "model.safetensors")
    tower = {open_clip_name(n): value for n, value in stored.items() if n.startswith("vis")}
    tensors = {name: value for name, value in tower.items() if "attn" not in name or "out_proj" in name}
    for block in range(2):
        for leaf in ("weight", "bias"):
            attn = f"visual.transformer.resblocks.{block}.attn"
            tensors[f"{attn}.in_proj_{leaf}"] = torch.cat([tower[f"{attn}.{x}_proj.{leaf}"] for x in "qkv"])
    tensors["visual.proj"] = tensors["visual.proj"].T.contiguous()
    folder = tmp_path / "open_clip"
    folder.mkdir()
    save_file(tensors | {"logit_scale": torch.zeros(())}, folder / "open_clip_model.safetensors")
    sizes = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 14}
    config = {"model_cfg": {"quick_gelu": True, "vision_cfg": sizes}, "preprocess_cfg": {"mean": list(CLIP_MEAN)}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def fresh(tiny: Qwen2VLConfig) -> Qwen2VL:
    return new_model(tiny, 0)


def weights(model: Qwen2VL) -> Tensors:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_image_of_two_equal_frames_gives_the_convolution_of_clip(clip: Any, whole: Path, fresh: Qwen2VL) -> None:
    load_clip_tower(fresh, whole)
    frame = np.random.default_rng(0).integers(0, 256, (1, 56, 84, 3), np.uint8)
    grid = np.array([[1, 4, 6]])
    pixels = (torch.from_numpy(frame) / 255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    where = patch_positions(grid, fresh.config.vision)
    with torch.inference_mode():
        ours = fresh.visual.patch_embed(torch.from_numpy(patchify(np.concatenate([frame, frame]))))
        theirs = clip.vision_model.embeddings.patch_embedding(pixels.permute(0, 3, 1, 2))[0]
    torch.testing.assert_close(ours, theirs[:, where[:, 0], where[:, 1]].T, rtol=0, atol=1e-5)


def test_blocks_without_rotation_are_the_layers_of_clip(clip: Any, whole: Path, fresh: Qwen2VL) -> None:
    load_clip_tower(fresh, whole)
    x = torch.randn(9, 32, generator=torch.Generator().manual_seed(2))
    nowhere = vision_rotary(torch.zeros(9, 2, dtype=torch.int64), fresh.config.vision.head_dim)
    layout = AttentionLayout.packed([0, 9], causal=False, device=x.device)
    for ours, theirs in zip(fresh.visual.blocks, clip.vision_model.encoder.layers, strict=True):
        with torch.inference_mode():
            expected = theirs(x[None], attention_mask=None)
            expected = (expected[0] if isinstance(expected, tuple) else expected).view(9, 32)
            torch.testing.assert_close(ours(x, nowhere, layout), expected, rtol=0, atol=1e-5)


def test_every_tensor_is_reported_and_the_rest_of_the_model_is_unchanged(whole: Path, fresh: Qwen2VL) -> None:
    before = weights(fresh)
    report = load_clip_tower(fresh, whole)
    after = weights(fresh)
    assert {name for name in after if not torch.equal(after[name], before[name])} == set(report.filled)
    assert set(before) - set(report.filled) == {
        n for n in before if not n.startswith(("visual.blocks", "visual.patch"))
    }
    assert report.dropped == (
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.position_embedding.weight",
        "vision_model.post_layernorm.bias",
        "vision_model.post_layernorm.weight",
        "vision_model.pre_layrnorm.bias",
        "vision_model.pre_layrnorm.weight",
        "visual_projection.weight",
    )
    num_split = 2 * 2 * 2  # two blocks, weight and bias: q, k, v are two more than one
    stored = len(load_file(whole / "model.safetensors"))
    assert len(report.filled) + num_split + len(report.dropped) + report.num_others == stored


def test_every_format_gives_the_same_tower(
    clip: Any, whole: Path, open_clip: Path, fresh: Qwen2VL, tiny: Qwen2VLConfig, tmp_path: Path
) -> None:
    load_clip_tower(fresh, whole)
    clip.vision_model.save_pretrained(tmp_path / "alone")
    clip.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards/model.safetensors.index.json").exists()
    for folder in (tmp_path / "alone", tmp_path / "shards", open_clip):
        model = new_model(tiny, 0)
        report = load_clip_tower(model, folder)
        assert same(weights(model), weights(fresh))
        assert report.num_others == {"alone": 0, "open_clip": 1}.get(folder.name, report.num_others)
        assert {len(report.dropped)} <= {6, 7}


def test_older_files_with_positions_in_half_precision_load(whole: Path, fresh: Qwen2VL, edit: Edit) -> None:
    positions = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    edit(whole, lambda tensors: {name: value.half() for name, value in tensors.items()} | positions)
    assert "vision_model.embeddings.position_ids" in load_clip_tower(fresh, whole).dropped
    assert fresh.visual.blocks[0].attn.qkv.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 64, "width 64, head width 32 where the model has width 32, head width 16: take"),
        ("num_hidden_layers", 3, "depth 3 where the model has depth 2"),
        ("patch_size", 16, "patch size 16 where the model has patch size 14"),
        ("num_attention_heads", 4, "head width 8 where the model has head width 16"),
        ("hidden_act", "gelu", "activation gelu where the model has activation quick_gelu"),
    ],
)
def test_a_tower_with_other_settings_is_refused(
    whole: Path, fresh: Qwen2VL, field: str, value: object, message: str, edit_json: Edit
) -> None:
    before = weights(fresh)
    vision = json.loads((whole / "config.json").read_text())["vision_config"]
    edit_json(whole / "config.json", vision_config=vision | {field: value})
    with pytest.raises(CheckpointError, match=message):
        load_clip_tower(fresh, whole)
    assert same(weights(fresh), before)


def test_open_clip_means_plain_gelu_if_its_config_names_none(open_clip: Path, fresh: Qwen2VL, edit_json: Edit) -> None:
    config = json.loads((open_clip / "open_clip_config.json").read_text())["model_cfg"]
    edit_json(open_clip / "open_clip_config.json", model_cfg={"vision_cfg": config["vision_cfg"]})
    with pytest.raises(CheckpointError, match="activation gelu where"):
        load_clip_tower(fresh, open_clip)


def test_other_pixel_statistics_are_refused(whole: Path, fresh: Qwen2VL) -> None:
    (whole / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(CheckpointError, match=r"pixel mean \[0.5, 0.5, 0.5\] where the model has pixel mean \[0.48"):
        load_clip_tower(fresh, whole)


def without_a_query(tensors: Tensors) -> None:
    del tensors["vision_model.encoder.layers.1.self_attn.q_proj.bias"]


def with_a_scale(tensors: Tensors) -> None:
    tensors["vision_model.encoder.layers.1.ls_1.gamma"] = torch.ones(32)


def with_a_narrow_key(tensors: Tensors) -> None:
    tensors["vision_model.encoder.layers.0.self_attn.k_proj.weight"] = torch.zeros(16, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_query, r"lacks 1 tensor \(vision_model.encoder.layers.1.self_attn.q_proj.bias\)"),
        (with_a_scale, r"has 1 tensor too many \(vision_model.encoder.layers.1.ls_1.gamma\)"),
        (with_a_narrow_key, r"has 1 tensor of another shape \(.*k_proj.weight \[16, 32\] instead of \[32, 32\]\)"),
        (lambda tensors: {"weight": torch.zeros(1)}, "holds no image tower of CLIP"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    whole: Path, fresh: Qwen2VL, edit: Edit, change: Callable[..., None], message: str
) -> None:
    before = weights(fresh)
    edit(whole, change)
    with pytest.raises(CheckpointError, match=message):
        load_clip_tower(fresh, whole)
    assert same(weights(fresh), before)


def test_a_directory_without_config_is_refused(whole: Path, fresh: Qwen2VL) -> None:
    (whole / "config.json").unlink()
    with pytest.raises(ConfigError, match="no readable config.json"):
        load_clip_tower(fresh, whole)
