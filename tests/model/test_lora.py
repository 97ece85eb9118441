"""Adapters: fresh = absent, merged = unmerged, saved then loaded = original, and only what was made for each other fits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint import convert, load_model, save_checkpoint
from qwen2vl.model.checkpoint.names import newer_name
from qwen2vl.model.lora import (
    DECODER_TARGETS,
    TOWER_TARGETS,
    LoraConfig,
    LoraLinear,
    adapter_edit,
    adapter_state,
    add_adapter,
    load_adapter,
    load_merged,
    merge_adapter,
    save_adapter,
)
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs

EVERYWHERE = LoraConfig(rank=4, alpha=6.0, targets=(*DECODER_TARGETS, *TOWER_TARGETS), parts=("tower", "decoder"))
NUM_LAYERS = 2 * (len(DECODER_TARGETS) + len(TOWER_TARGETS))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])

Make = Callable[..., Qwen2VL]
Edit = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture(scope="session")
def row(make_row: Callable[..., ModelInputs]) -> ModelInputs:
    return make_row([5, (1, 4, 6), 7, (2, 2, 4), 3])


@torch.no_grad()
def teach(model: Qwen2VL, seed: int = 7) -> Qwen2VL:
    """Numbers in B as large as training would give: the adapter moves every logit."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in adapter_state(model).items():
        if ".lora_B." in name:
            tensor.copy_(0.05 * torch.randn(tensor.shape, generator=generator))
    return model


@pytest.fixture
def adapted(make_model: Make) -> Qwen2VL:
    """The tiny model with an adapter everywhere that has learned something."""
    model = make_model()
    add_adapter(model, EVERYWHERE, seed=0)
    return teach(model)


@pytest.fixture
def directory(adapted: Qwen2VL, tmp_path: Path) -> Path:
    save_adapter(adapted, tmp_path / "adapter")
    return tmp_path / "adapter"


@torch.inference_mode()
def logits(model: Qwen2VL, row: ModelInputs) -> Tensor:
    return model(row).logits


def test_a_fresh_adapter_changes_no_bit(
    make_model: Make, tiny: Qwen2VLConfig, tied: Qwen2VLConfig, row: ModelInputs
) -> None:
    for config in (tiny, tied):
        for dtype in (torch.float32, torch.bfloat16):
            model = make_model(config).to(dtype)
            before = logits(model, row)
            add_adapter(model, EVERYWHERE, seed=0)
            assert torch.equal(logits(model, row), before)


def test_only_the_adapter_learns_and_all_of_it(make_model: Make, row: ModelInputs) -> None:
    model = make_model()
    base = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    add_adapter(model, EVERYWHERE, seed=0)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == set(adapter_state(model))
    assert len(trained) == 2 * NUM_LAYERS
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


def test_proj_is_not_the_patch_embedding(make_model: Make) -> None:
    model = make_model()
    add_adapter(model, LoraConfig(targets=("proj",), parts=("tower",)), seed=0)
    wrapped = [name for name, module in model.named_modules() if isinstance(module, LoraLinear)]
    assert wrapped == ["visual.blocks.0.attn.proj", "visual.blocks.1.attn.proj"]


def test_first_values_depend_on_the_seed_only(make_model: Make) -> None:
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
def test_merged_answers_as_unmerged(
    make_model: Make, tied: Qwen2VLConfig, row: ModelInputs, dtype: torch.dtype
) -> None:
    model = make_model(tied).to(dtype)
    plain, names = logits(model, row), [name for name, _ in model.named_parameters()]
    add_adapter(model, EVERYWHERE, seed=0)
    unmerged = logits(teach(model), row)
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


@DTYPES
def test_saved_then_loaded(
    make_model: Make, tied: Qwen2VLConfig, row: ModelInputs, tmp_path: Path, dtype: torch.dtype
) -> None:
    model = make_model(tied).to(dtype)
    add_adapter(model, EVERYWHERE, seed=0)
    save_adapter(teach(model), tmp_path / "a")
    loaded = make_model(tied).to(dtype)
    load_adapter(loaded, tmp_path / "a")
    assert torch.equal(logits(loaded, row), logits(model, row))
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == set(adapter_state(model))
    save_adapter(loaded, tmp_path / "b")
    assert adapter_files(tmp_path / "a") == adapter_files(tmp_path / "b")


def test_what_was_loaded_is_not_the_file(directory: Path, make_model: Make) -> None:
    model = make_model()
    load_adapter(model, directory)
    before = {name: tensor.clone() for name, tensor in adapter_state(model).items()}
    path = directory / "adapter_model.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter_state(model).items())


def adapter_files(directory: Path) -> tuple[str, dict[str, str], dict[str, list[float]]]:
    """Config, metadata and numbers, to compare."""
    path = directory / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = {name: tensor.flatten().tolist() for name, tensor in load_file(path).items()}
    return (directory / "adapter_config.json").read_text(), metadata, tensors


def test_files_are_those_of_peft(directory: Path, adapted: Qwen2VL) -> None:
    assert {path.name for path in directory.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    content = json.loads((directory / "adapter_config.json").read_text())
    assert (content["peft_type"], content["r"], content["lora_alpha"], content["bias"]) == ("LORA", 4, 6.0, "none")
    assert content["target_modules"] == [
        "attn.proj", "attn.qkv", "mlp.down_proj", "mlp.fc1", "mlp.fc2", "mlp.gate_proj", "mlp.up_proj",
        "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj",
    ]  # fmt: skip
    tensors = load_file(directory / "adapter_model.safetensors")
    assert set(tensors) == {f"base_model.model.{name}" for name in adapter_state(adapted)}
    assert tensors["base_model.model.visual.blocks.1.attn.qkv.lora_B.weight"].shape == (96, 4)


def test_the_base_is_known_again_in_another_precision(
    directory: Path, make_model: Make, adapted: Qwen2VL, row: ModelInputs
) -> None:
    rounded = make_model().to(torch.bfloat16)
    load_adapter(rounded, directory)
    assert adapter_state(rounded)["model.layers.0.mlp.up_proj.lora_A.weight"].dtype == torch.bfloat16
    assert float((logits(rounded, row) - logits(adapted, row)).abs().mean()) < 0.05


def edit_tensors(directory: Path, edit: Edit, keep_base: bool = True) -> None:
    path = directory / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() if keep_base else {"format": "pt"}
    save_file(edit(load_file(path)), path, metadata=metadata)


def edit_config(directory: Path, **fields: object) -> None:
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_an_adapter_of_peft_for_the_newer_naming(
    directory: Path, make_model: Make, adapted: Qwen2VL, row: ModelInputs
) -> None:
    """Its module paths, targets by their last word, fields of a whole release, and no word about the base."""
    begin = "base_model.model."
    edit_tensors(
        directory,
        lambda tensors: {begin + newer_name(name.removeprefix(begin)): value for name, value in tensors.items()},
        keep_base=False,
    )
    edit_config(
        directory,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv", "attn.proj",
                        "fc1", "fc2"],
        lora_dropout=0.05, task_type="CAUSAL_LM", use_dora=False, modules_to_save=None, rank_pattern={}, lora_alpha=6,
        megatron_core="megatron.core", qalora_group_size=16, base_model_name_or_path="somewhere",
    )  # fmt: skip
    model = make_model()
    load_adapter(model, directory)
    assert torch.equal(logits(model, row), logits(adapted, row))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda tensors: dict(list(tensors.items())[2:]), r"lacks 2 tensors \(base_model.model.model.layers.0.*\):"),
        (lambda tensors: tensors | {"stray": torch.zeros(1)}, r"has 1 tensor too many \(stray\): its tensors must"),
        (
            lambda tensors: {n: t.T.contiguous() if "0.attn.qkv.lora_A" in n else t for n, t in tensors.items()},
            r"of another shape \(.*qkv.lora_A.weight \[32, 4\] instead of \[4, 32\]\)",
        ),
        (
            lambda tensors: (
                tensors
                | {
                    n.replace(".visual", ".model.visual"): t.clone()
                    for n, t in tensors.items()
                    if "0.mlp.fc1.lora_A" in n
                }
            ),
            "under two names",
        ),
    ],
    ids=["missing", "extra", "misshapen", "twice"],
)
def test_tensors_that_do_not_fit(directory: Path, model: Qwen2VL, edit: Edit, told: str) -> None:
    edit_tensors(directory, edit)
    with pytest.raises(CheckpointError, match=told):
        load_adapter(model, directory)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())


def test_another_base(directory: Path, make_model: Make, tiny: Qwen2VLConfig) -> None:
    with pytest.raises(CheckpointError, match="was trained on other weights .*: give the checkpoint"):
        load_adapter(make_model(seed=1), directory)
    trained_on = make_model()
    with torch.no_grad():
        trained_on.model.layers[1].self_attn.q_proj.bias += 0.1
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        load_adapter(trained_on, directory)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"use_dora": True}, r"sets use_dora to true: only null or false"),
        ({"bias": "all"}, r'sets bias to "all": only "none" can be read'),
        ({"peft_type": "IA3"}, r'sets peft_type to "IA3": only "LORA"'),
        ({"modules_to_save": ["lm_head"]}, "sets modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "sets rank_pattern"),
        ({"r": 0}, "adapter's rank is 0: it must be"),
        ({"lora_alpha": None}, "adapter's alpha is None"),
        ({"target_modules": ".*q_proj"}, "adapter's targets are '.*q_proj': give a tuple"),
        ({"target_modules": ["q_proj", "w1"]}, "targets w1 match no linear layer of decoder: choose of q_proj"),
        ({"target_modules": ["w1"]}, "targets w1 match no linear layer of tower and decoder"),
        ({"target_modules": ["q_proj", 3]}, "adapter's targets are"),
    ],
)
def test_configs_that_cannot_be(directory: Path, model: Qwen2VL, fields: dict[str, object], told: str) -> None:
    edit_config(directory, **fields)
    with pytest.raises(ConfigError, match=f'adapter_config.json"?:? ?.*{told}'):
        load_adapter(model, directory)


def test_files_that_are_missing_or_damaged(directory: Path, model: Qwen2VL, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no adapter_config.json: give the directory of an adapter"):
        load_adapter(model, tmp_path)
    (directory / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_adapter(model, directory)
    (directory / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no adapter_model.safetensors"):
        load_adapter(model, directory)
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (directory / "adapter_model.safetensors").touch()
    with pytest.raises(ConfigError, match="has no r: copy the file"):
        load_adapter(model, directory)


def test_saving_touches_nothing_that_exists(adapted: Qwen2VL, directory: Path) -> None:
    before = (directory / "adapter_model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="already holds files"):
        save_adapter(adapted, directory)
    assert (directory / "adapter_model.safetensors").read_bytes() == before
    assert [path.name for path in directory.parent.iterdir()] == ["adapter"]


@pytest.mark.parametrize(
    ("fields", "told"),
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
def test_settings_that_cannot_be(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LoraConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "told"),
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
def test_targets_that_match_nothing(model: Qwen2VL, config: LoraConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        add_adapter(model, config, seed=0)
    assert all(p.requires_grad for p in model.parameters())


def test_one_adapter_at_a_time(adapted: Qwen2VL, directory: Path) -> None:
    for again in (lambda: add_adapter(adapted, EVERYWHERE, 0), lambda: load_adapter(adapted, directory)):
        with pytest.raises(ConfigError, match="has an adapter already"):
            again()
    merge_adapter(adapted)
    for none in (lambda: merge_adapter(adapted), lambda: adapter_state(adapted)):
        with pytest.raises(ConfigError, match="has no adapter"):
            none()


class Nothing:
    """Stands where a processor writes its files: none is needed to load the model."""

    def save(self, directory: str | Path) -> None:
        pass


def test_an_unmerged_model_is_not_a_checkpoint(adapted: Qwen2VL, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"has 80 tensors that its config does not ask for, first visual.*: fold its adapter in"
    ):
        save_checkpoint(adapted, Nothing(), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.fixture(params=["untied", "tied"])
def saved(
    request: pytest.FixtureRequest, make_model: Make, tiny: Qwen2VLConfig, tied: Qwen2VLConfig, tmp_path: Path
) -> tuple[Path, Path, Qwen2VL]:
    """A checkpoint, an adapter of it, and the two together in memory, unmerged."""
    config = tied if request.param == "tied" else tiny
    model = make_model(config)
    save_checkpoint(model, Processor(build_nano_tokenizer(["red"]), config), tmp_path / "base", max_shard_bytes=100_000)
    add_adapter(model, EVERYWHERE, seed=0)
    save_adapter(teach(model), tmp_path / "learned")
    return tmp_path / "base", tmp_path / "learned", model


def test_merged_export(saved: tuple[Path, Path, Qwen2VL], row: ModelInputs, tmp_path: Path) -> None:
    base, adapter, model = saved
    convert(base, tmp_path / "out", edit=adapter_edit(base, adapter))
    exported = load_model(tmp_path / "out", device="cpu")
    torch.testing.assert_close(logits(exported, row), logits(model, row), atol=1e-5, rtol=0)
    assert [type(module) for module in exported.modules() if isinstance(module, LoraLinear)] == []
    merge_adapter(model)
    for (name, one), other in zip(model.named_parameters(), exported.parameters(), strict=True):
        assert torch.equal(one, other), name
    convert(base, tmp_path / "half", dtype="bf16", edit=adapter_edit(base, adapter))
    half = load_model(tmp_path / "half", device="cpu", dtype="bf16")
    for (name, one), other in zip(model.named_parameters(), half.parameters(), strict=True):
        assert torch.equal(one.bfloat16(), other), name


def test_loaded_merged(saved: tuple[Path, Path, Qwen2VL], row: ModelInputs) -> None:
    base, adapter, model = saved
    merged = load_merged(base, adapter, device="cpu", dtype="fp32")
    torch.testing.assert_close(logits(merged, row), logits(model, row), atol=1e-5, rtol=0)
    assert not merged.training
    plain = load_merged(base, device="cpu", dtype="fp32")
    assert not torch.allclose(logits(plain, row), logits(model, row), atol=0.1)


def test_a_wrong_adapter_is_told_before_weights_are_read(saved: tuple[Path, Path, Qwen2VL]) -> None:
    base, adapter, _ = saved
    for shard in base.glob("*.safetensors*"):
        shard.unlink()
    edit_tensors(adapter, lambda tensors: tensors | {"stray": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="too many"):
        load_merged(base, adapter, device="cpu")


def test_exports_of_another_base(saved: tuple[Path, Path, Qwen2VL], make_model: Make, tmp_path: Path) -> None:
    other = make_model(saved[2].config, seed=3)
    save_checkpoint(other, Processor(build_nano_tokenizer(["red"]), other.config), tmp_path / "other")
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        adapter_edit(tmp_path / "other", saved[1])
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        load_merged(tmp_path / "other", saved[1], device="cpu")
