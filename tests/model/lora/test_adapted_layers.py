"""Adapters in the network: a new one changes nothing, only it is trained, and a merged one answers the same."""

from pathlib import Path

import pytest
import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.lora import (
    DECODER_TARGETS,
    TOWER_TARGETS,
    LoraConfig,
    LoraLinear,
    adapter_state,
    add_adapter,
    load_adapter,
    merge_adapter,
)
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from tests.model.lora.conftest import DTYPES, EVERYWHERE, MakeModel, fill_b, logits


def test_a_new_adapter_changes_no_bit(
    make_model: MakeModel, tiny: Qwen2VLConfig, tied: Qwen2VLConfig, row: ModelInputs
) -> None:
    for config in (tiny, tied):
        for dtype in (torch.float32, torch.bfloat16):
            model = make_model(config).to(dtype)
            before = logits(model, row)
            add_adapter(model, EVERYWHERE, seed=0)
            assert torch.equal(logits(model, row), before)


def test_all_of_the_adapter_is_trained_and_nothing_else(make_model: MakeModel, row: ModelInputs) -> None:
    model = make_model()
    base = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    add_adapter(model, EVERYWHERE, seed=0)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == set(adapter_state(model))
    num_layers = 2 * (len(DECODER_TARGETS) + len(TOWER_TARGETS))
    assert len(trained) == 2 * num_layers
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        model(row).logits.square().mean().backward()
        for name, parameter in trained.items():  # A moves nothing while B is zero
            assert parameter.grad is not None
            assert bool(parameter.grad.any()) == (step > 0 or ".lora_B." in name), name
        optimizer.step()
    for name, parameter in model.named_parameters():
        if name not in trained:
            assert parameter.grad is None
            assert torch.equal(parameter, base[name.replace(".base_layer", "")]), name


def test_the_target_proj_does_not_mean_the_patch_embedding(make_model: MakeModel) -> None:
    model = make_model()
    add_adapter(model, LoraConfig(targets=("proj",), parts=("tower",)), seed=0)
    wrapped = [name for name, module in model.named_modules() if isinstance(module, LoraLinear)]
    assert wrapped == ["visual.blocks.0.attn.proj", "visual.blocks.1.attn.proj"]


def test_first_weights_depend_on_the_seed_only(make_model: MakeModel) -> None:
    states = []
    for seed, dtype in ((0, torch.float32), (0, torch.bfloat16), (1, torch.float32)):
        model = make_model().to(dtype)
        before = torch.get_rng_state()
        add_adapter(model, EVERYWHERE, seed)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(adapter_state(model))
    one, rounded, other = states
    for name in one:
        assert torch.equal(one[name].bfloat16(), rounded[name])
        assert torch.equal(one[name], other[name]) == (".lora_B." in name)
    a = one["model.layers.0.mlp.down_proj.lora_A.weight"]
    assert a.shape == (4, 96)
    assert 0.9 * 96**-0.5 < float(a.abs().max()) <= 96**-0.5


@DTYPES
def test_a_merged_model_answers_as_unmerged(
    make_model: MakeModel, tied: Qwen2VLConfig, row: ModelInputs, dtype: torch.dtype
) -> None:
    model = make_model(tied).to(dtype)
    plain, names = logits(model, row), [name for name, _ in model.named_parameters()]
    add_adapter(model, EVERYWHERE, seed=0)
    unmerged = logits(fill_b(model), row)
    merge_adapter(model)
    merged = logits(model, row)
    moved = float((unmerged - plain).abs().mean())
    assert moved > 0.1
    if dtype == torch.float32:
        torch.testing.assert_close(merged, unmerged, atol=1e-5, rtol=0)
    assert float((merged - unmerged).abs().mean()) < 0.1 * moved
    assert [name for name, _ in model.named_parameters()] == names
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "rank is 0: it must be a whole number from 1"),
        ({"rank": True}, "rank is True"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"alpha": -1}, "alpha is -1: it must be a number over 0"),
        ({"targets": ()}, r"targets are \(\): give a tuple"),
        ({"targets": "q_proj"}, "targets are 'q_proj': give a tuple"),
        ({"targets": ("qkv", "qkv")}, "none twice"),
        ({"parts": ("tower", "head")}, 'part "head" is unknown: choose of tower, decoder'),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoraConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            LoraConfig(targets=("q_proj", "wq", "wk")),
            "targets wq, wk match no linear layer of decoder: choose of q_proj,",
        ),
        (LoraConfig(targets=("qkv",)), "targets qkv match no linear layer of decoder"),
        (LoraConfig(targets=("lm_head",), parts=("tower", "decoder")), "targets lm_head match no"),
        (LoraConfig(targets=("atch_embed.proj", "roj"), parts=("tower",)), "match no linear layer of tower"),
        (LoraConfig(parts=("tower", "decoder")), "part tower holds none of the targets q_proj"),
    ],
)
def test_targets_that_match_nothing_are_refused(model: Qwen2VL, config: LoraConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        add_adapter(model, config, seed=0)
    assert all(p.requires_grad for p in model.parameters())


def test_a_model_has_one_adapter_or_none(adapted: Qwen2VL, directory: Path) -> None:
    for again in (lambda: add_adapter(adapted, EVERYWHERE, 0), lambda: load_adapter(adapted, directory)):
        with pytest.raises(ConfigError, match="has an adapter already"):
            again()
    merge_adapter(adapted)
    for none in (lambda: merge_adapter(adapted), lambda: adapter_state(adapted)):
        with pytest.raises(ConfigError, match="has no adapter"):
            none()
