"""The table of names and shapes, and the errors when a checkpoint does not fit it."""

import pytest
import torch

from qwen2vl.common.errors import CheckpointError
from qwen2vl.model.checkpoint.names import Entry, Shape, match, tensor_table
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig


def table(config: Qwen2VLConfig) -> tuple[Entry, ...]:
    with torch.device("meta"):
        return tensor_table(Qwen2VL(config))


def test_names_and_shapes_are_the_published_ones() -> None:
    """One tensor of every kind, at 2B, from the list in the paper."""
    entries = {entry.name: entry for entry in table(Qwen2VLConfig.named("2b"))}
    shapes = {
        "visual.patch_embed.proj.weight": (1280, 3, 2, 14, 14),
        "visual.blocks.31.norm1.bias": (1280,),
        "visual.blocks.0.attn.qkv.weight": (3840, 1280),
        "visual.blocks.0.attn.proj.bias": (1280,),
        "visual.blocks.0.mlp.fc1.weight": (5120, 1280),
        "visual.merger.ln_q.weight": (1280,),
        "visual.merger.mlp.0.weight": (5120, 5120),
        "visual.merger.mlp.2.weight": (1536, 5120),
        "model.embed_tokens.weight": (151936, 1536),
        "model.layers.27.self_attn.k_proj.weight": (256, 1536),
        "model.layers.27.self_attn.k_proj.bias": (256,),
        "model.layers.0.self_attn.o_proj.weight": (1536, 1536),
        "model.layers.0.mlp.down_proj.weight": (1536, 8960),
        "model.layers.0.post_attention_layernorm.weight": (1536,),
        "model.norm.weight": (1536,),
    }
    assert {name: entries[name].disk_shape for name in shapes} == shapes
    assert len(entries) == 729
    assert "lm_head.weight" not in entries
    assert entries["visual.merger.ln_q.weight"].newer == "model.visual.merger.ln_q.weight"
    assert entries["model.norm.weight"].newer == "model.language_model.norm.weight"


def test_the_head_has_one_name(tiny: Qwen2VLConfig) -> None:
    head = table(tiny)[-1]
    assert (head.name, head.newer) == ("lm_head.weight", "lm_head.weight")


@pytest.mark.parametrize("newer", [False, True])
def test_every_tensor_is_used_once(tiny: Qwen2VLConfig, newer: bool) -> None:
    entries = table(tiny)
    stored = {entry.newer if newer else entry.name: entry.disk_shape for entry in entries}
    found = match(entries, stored, "x")
    assert [entry for entry, _ in found.tensors] == list(entries)
    assert {name for _, name in found.tensors} == set(stored)
    assert found.tied is None


def wrong(config: Qwen2VLConfig, remove: int = 0, **changed: Shape) -> str:
    entries = table(config)
    stored: dict[str, Shape] = {entry.name: entry.disk_shape for entry in entries[remove:]}
    stored |= {name.replace("__", "."): shape for name, shape in changed.items()}
    with pytest.raises(CheckpointError) as error:
        match(entries, stored, "there")
    return str(error.value)


def test_missing_tensors_are_counted_and_named(tiny: Qwen2VLConfig) -> None:
    message = wrong(tiny, remove=5)
    assert message.startswith(
        'the checkpoint "there" lacks 5 tensors (visual.patch_embed.proj.weight, visual.blocks.0.norm1.weight, '
        "visual.blocks.0.norm1.bias, ...): its tensors must be exactly those"
    )


def test_extra_tensors_are_counted_and_named(tiny: Qwen2VLConfig) -> None:
    message = wrong(tiny, model__layers__2__input_layernorm__weight=(64,))
    assert message.startswith('the checkpoint "there" has 1 tensor too many (model.layers.2.input_layernorm.weight): ')


def test_one_message_names_all_problems(tiny: Qwen2VLConfig) -> None:
    message = wrong(tiny, remove=1, model__x=(3,), model__norm__weight=(65,))
    assert "lacks 1 tensor (visual" in message
    assert "has 1 tensor too many (model.x)" in message
    assert "[65]" in message


def test_wrong_shapes_are_shown(tiny: Qwen2VLConfig) -> None:
    message = wrong(tiny, model__norm__weight=(65,), visual__patch_embed__proj__weight=(32, 1176))
    assert "visual.patch_embed.proj.weight [32, 1176] instead of [32, 3, 2, 14, 14]" in message
    assert "model.norm.weight [65] instead of [64]" in message
    assert "2 tensors" in message


def test_a_parameter_in_both_namings_is_refused(tiny: Qwen2VLConfig) -> None:
    message = wrong(tiny, model__language_model__norm__weight=(64,))
    assert "has 1 tensor under two names (model.norm.weight)" in message


def test_an_untied_model_needs_its_head(tiny: Qwen2VLConfig, tied: Qwen2VLConfig) -> None:
    stored = {entry.name: entry.disk_shape for entry in table(tied)}
    with pytest.raises(CheckpointError, match=r"lacks 1 tensor \(lm_head.weight\)"):
        match(table(tiny), stored, "x")
