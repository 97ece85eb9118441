"""The estimate equals what real steps hold: bytes of the optimizer and of checkpoints, and the peak of a step."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.init import new_model
from qwen2vl.model.lora import LoraConfig, add_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training import estimate as module
from qwen2vl.training.estimate import Memory, estimate, memory_of, refuse_too_large
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.train_config import Rates, TrainConfig

from .conftest import ALL, SMALL, TRAINED, WIDE, model_of, row_of, stage_of, trainer_of

CPU = torch.device("cpu")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operations created and that still exist, and the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.drop, storage._cdata)
        self.most = max(self.most, self.now)
        return out

    def drop(self, storage: int) -> None:
        self.now -= self.sizes.pop(storage)


def train_one_step(model: Qwen2VL, config: TrainConfig, rows: list[ModelInputs]) -> None:
    """Forward and backward passes and the update, as in `Trainer.train_step`."""
    optimizer = MasterOptimizer(model, config)
    for inputs in rows:
        loss = token_loss(model, pack([inputs]))
        loss.total.backward()
        optimizer.collect()
        del loss
    optimizer.norms(1.0)
    optimizer.step(dict.fromkeys(("tower", "merger", "decoder"), 1e-3), 1.0)


@pytest.mark.parametrize(("trained", "rows"), [("all", 2), ("tower frozen", 1)])
@pytest.mark.parametrize("mode", ["none", "selective", "full"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_of_a_step(precision, mode, trained, rows, samples):
    """Weights, optimizer, activations, gradients and temporary tensors, on the CPU, with every token supervised."""
    model, inputs = model_of(WIDE, precision, TRAINED[trained], mode), pack(samples * 4)
    inputs = replace(inputs, labels=inputs.ids)
    config = TrainConfig(precision=precision, recompute=mode)
    expected = memory_of(model, config, row_of(inputs), packs=rows, device="cpu", num_workers=0)
    with LiveBytes() as live:
        seen = [p.detach() for p in model.parameters()]
        train_one_step(model, config, [inputs] * rows)
    assert seen
    assert expected.device == pytest.approx(live.most, rel=0.1)


def test_the_bytes_of_the_optimizer_and_of_a_checkpoint_are_exact(store, tmp_path):
    config = TrainConfig(precision="bf16")
    for name, rates in TRAINED.items():
        model, stage = new_model(SMALL, 0).bfloat16(), stage_of(rates=rates)
        needs = estimate(model, stage, config, MediaSettings(), CPU).memory
        trainer = trainer_of(tmp_path / name, store, model, (stage,), config)
        optimizer = trainer.state.optimizer
        moments = [tensor for state in optimizer.moments.values() for tensor in state.values()]
        assert needs.moments == bytes_of(moments)
        assert needs.masters == needs.gradient_sums == bytes_of(optimizer.masters.values())
        assert needs.weights == bytes_of(model.parameters())
        saved = trainer.state.tensors()
        assert needs.checkpoint_copy == bytes_of([*saved["weights"].values(), *moments])


def bytes_of(tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def test_only_the_adapter_needs_an_optimizer():
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.named("2b"))
        add_adapter(model, LoraConfig(rank=8), seed=0)
    needs = estimate(model, stage_of(rates=Rates(decoder=1e-4)), TrainConfig(), MediaSettings(), CPU)
    trained = needs.parameters["decoder"][1]
    assert 0 < trained < 0.01 * needs.parameters["decoder"][0]
    assert needs.memory.masters == 4 * trained
    assert needs.memory.checkpoint_copy < 13 * trained
    assert needs.memory.activations > 0


@pytest.mark.parametrize("size", ["2b", "7b", "72b"])
def test_parameters_of_the_published_sizes(size):
    config = Qwen2VLConfig.named(size)
    with torch.device("meta"):
        model = Qwen2VL(config)
    counted = estimate(model, stage_of(), TrainConfig(), MediaSettings(), CPU).parameters
    assert {part: count for part, (count, _) in counted.items()} | {
        "total": sum(count for count, _ in counted.values())
    } == num_parameters(config)


def test_packs_that_are_read_ahead(store, processor, reader):
    stage = stage_of()
    needs = estimate(model_of(SMALL, "fp32", ALL, "none"), stage, TrainConfig(), processor.settings, CPU, num_workers=0)
    full = replace(needs.row, tokens=60 + 100, patches=240)
    inputs = pack([reader.read(row) for row in range(6)])
    a_token = sum(getattr(inputs, name).nbytes for name in ("ids", "positions", "labels")) / inputs.num_tokens
    assert needs.row == full
    assert needs.memory.data_ahead == 2 * stage.packs_per_step * (240 * inputs.patches[0].nbytes + 160 * a_token)


def test_a_stage_that_does_not_fit_is_refused_with_the_figures(monkeypatch):
    config = Qwen2VLConfig.named("7b")
    with torch.device("meta"):
        model = Qwen2VL(config)
    stage = stage_of(rates=Rates(decoder=1e-5))
    needs = estimate(model, stage, TrainConfig(), MediaSettings(), torch.device("cuda"))
    monkeypatch.setattr(module, "free_bytes", lambda place: 80_000_000_000)
    message = (
        rf'^stage "all" needs {needs.memory.device / 1e9:.2f} GB of cuda, which has 80.00 GB free, most of it for '
    )
    with pytest.raises(ConfigError, match=message + r"moments \(60.92 GB\): train fewer parts"):
        refuse_too_large(needs, torch.device("cuda"))
    monkeypatch.setattr(module, "free_bytes", lambda place: None)
    refuse_too_large(needs, torch.device("cuda"))


@pytest.mark.parametrize(
    ("part", "remedy"),
    [("activations", "recompute full"), ("data_ahead", "fewer packs a step"), ("moments", "fewer parts")],
)
def test_the_remedy_depends_on_the_largest_part(part, remedy, monkeypatch):
    needs = estimate(new_model(SMALL, 0), stage_of(), TrainConfig(), MediaSettings(), CPU)
    monkeypatch.setattr(module, "free_bytes", lambda place: 10**9)
    refuse_too_large(needs, CPU)
    assert isinstance(needs.memory, Memory)
    larger = replace(needs, memory=replace(needs.memory, **{part: 2 * 10**9}))
    with pytest.raises(ConfigError, match=remedy):
        refuse_too_large(larger, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["none", "full"])
@pytest.mark.parametrize("trained", ["all", "tower frozen"])
def test_the_peak_of_a_step_on_a_gpu(mode, trained, samples):
    """Four layers of each kind at the width of 2B, on rows of a few thousand tokens."""
    config = Qwen2VLConfig.named("2b")
    few = replace(config, vision=replace(config.vision, depth=4), text=replace(config.text, num_hidden_layers=4))
    small_ids = replace(few, tokens=NANO.tokens, text=replace(few.text, vocab_size=NANO.text.vocab_size))
    model = model_of(small_ids, "bf16", TRAINED[trained], mode).cuda()
    inputs = pack(samples * 40)
    expected = memory_of(model, TrainConfig(recompute=mode), row_of(inputs), packs=1, device="cuda", num_workers=0)
    torch.cuda.reset_peak_memory_stats()
    train_one_step(model, TrainConfig(recompute=mode), [inputs.to("cuda")])
    assert expected.device == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.15)
