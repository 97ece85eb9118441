"""The estimate against reality: bytes that autograd keeps, bytes of the optimizer, the fullest moment of real steps."""

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
from qwen2vl.training.activation_memory import Row, activation_memory
from qwen2vl.training.activations import recompute
from qwen2vl.training.estimate import Memory, estimate, memory_of, refuse_too_large
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.parts import set_trained
from qwen2vl.training.train_config import Rates, TrainConfig

from .conftest import ALL, SMALL, stage_of, trainer_of

CPU = torch.device("cpu")
WIDE = replace(
    NANO,
    vision=replace(NANO.vision, depth=3, embed_dim=256, hidden_size=384),
    text=replace(NANO.text, num_hidden_layers=3, hidden_size=384, num_attention_heads=12, intermediate_size=1024),
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRAINED = {
    "all": ALL,
    "tower frozen": Rates(merger=1e-3, decoder=1e-3),
    "decoder frozen": Rates(tower=1e-3, merger=1e-3),
    "merger alone": Rates(merger=1e-3),
    "decoder alone": Rates(decoder=1e-3),
}


@pytest.fixture(scope="module")
def samples(reader) -> list[ModelInputs]:
    return [reader.read(row) for row in range(6)]


def model_of(config: Qwen2VLConfig, precision: str, rates: Rates, mode: str) -> Qwen2VL:
    model = new_model(config, 0).to(DTYPES[precision])
    set_trained(model, rates)
    recompute(model, mode)
    return model


def row_of(inputs: ModelInputs) -> Row:
    documents, frames = (
        inputs.segments.diff().double(),
        inputs.grids[:, 1:].prod(1).repeat_interleave(inputs.grids[:, 0]),
    )
    return Row(
        tokens=inputs.num_tokens,
        patches=len(inputs.patches),
        document=round(float(documents.square().sum() / documents.sum())),
        frame=round(float(frames.double().square().sum() / frames.sum())),
    )


class Box:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def kept_really(model: Qwen2VL, inputs: ModelInputs) -> int:
    """Bytes that the graph of a row holds when the forward pass is over, without parameters."""
    own, alive = {p.untyped_storage().data_ptr() for p in model.parameters()}, weakref.WeakSet[Box]()

    def note(tensor: torch.Tensor) -> Box:
        box = Box(tensor)
        alive.add(box)
        return box

    with torch.autograd.graph.saved_tensors_hooks(note, lambda box: box.tensor):
        loss = token_loss(model, inputs)
    storages = {box.tensor.untyped_storage().data_ptr(): box.tensor.untyped_storage().nbytes() for box in alive}
    assert loss.total.requires_grad
    return sum(size for place, size in storages.items() if place not in own)


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("mode", ["none", "full"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["small", "wide"])
def test_what_autograd_keeps(config, precision, mode, trained, samples):
    model, inputs = model_of(config, precision, TRAINED[trained], mode), pack(samples)
    expected = activation_memory(model, row_of(inputs), mode, DTYPES[precision].itemsize, "cpu")
    assert expected.total == pytest.approx(kept_really(model, inputs), rel=0.1)
    if TRAINED[trained].tower == 0:
        assert expected.parts["tower"] == 0


def test_what_an_adapter_keeps(samples):
    """At most: base layers do not keep their inputs twice, and norms are frozen."""
    model, inputs = new_model(WIDE, 0), pack(samples)
    add_adapter(model, LoraConfig(rank=8), seed=0)
    set_trained(model, Rates(decoder=1e-4))
    expected, real = activation_memory(model, row_of(inputs), "none", 4, "cpu").total, kept_really(model, inputs)
    assert real <= expected <= 1.15 * real


def test_long_segments_keep_no_scores(samples):
    """A document over the length up to which a CPU attends by plain products."""
    model = model_of(SMALL, "fp32", ALL, "none")
    text = replace(samples[3], ids=samples[3].ids.repeat(40), labels=samples[3].labels.repeat(40))
    many = len(text.ids)
    long = replace(
        text,
        positions=torch.arange(many).expand(3, -1),
        segments=torch.tensor([0, many], dtype=torch.int32),
    )
    assert many > 400
    inputs = pack([long, samples[0]])
    expected = activation_memory(model, row_of(inputs), "none", 4, "cpu").total
    assert expected == pytest.approx(kept_really(model, inputs), rel=0.1)


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors that operations have made and that still exist, and the most there ever were."""

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
    """As `Trainer.train_step` does."""
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
def test_the_fullest_moment_of_a_step(precision, mode, trained, rows, samples):
    """Weights, optimizer, activations, gradients and all that lives for a moment, on the CPU."""
    model, inputs = model_of(WIDE, precision, TRAINED[trained], mode), pack(samples * 4)
    config = TrainConfig(precision=precision, recompute=mode)
    expected = memory_of(model, config, row_of(inputs), packs=rows, device="cpu", num_workers=0)
    with LiveBytes() as live:
        seen = [p.detach() for p in model.parameters()]
        train_one_step(model, config, [inputs] * rows)
    assert seen
    assert expected.device == pytest.approx(live.most, rel=0.1)


def test_the_state_of_the_optimizer_and_the_checkpoint_are_exact(store, tmp_path):
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


def test_an_adapter_needs_an_optimizer_for_itself_alone():
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


def test_what_cannot_fit_is_one_sentence_with_the_figures(monkeypatch):
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
def test_the_remedy_is_that_of_the_largest_part(part, remedy, monkeypatch):
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
def test_the_fullest_moment_on_a_gpu(mode, trained, samples):
    """Four layers of each kind at the width of 2B, on rows of some thousand tokens."""
    config = Qwen2VLConfig.named("2b")
    few = replace(config, vision=replace(config.vision, depth=4), text=replace(config.text, num_hidden_layers=4))
    small_ids = replace(few, tokens=NANO.tokens, text=replace(few.text, vocab_size=NANO.text.vocab_size))
    model = model_of(small_ids, "bf16", TRAINED[trained], mode).cuda()
    inputs = pack(samples * 40)
    expected = memory_of(model, TrainConfig(recompute=mode), row_of(inputs), packs=1, device="cuda", num_workers=0)
    torch.cuda.reset_peak_memory_stats()
    train_one_step(model, TrainConfig(recompute=mode), [inputs.to("cuda")])
    assert expected.device == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.15)
