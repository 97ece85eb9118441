"""The computed bytes of activations are those that autograd keeps."""

import weakref
from dataclasses import replace

import pytest
import torch

from qwen2vl.model.init import new_model
from qwen2vl.model.lora import LoraConfig, add_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.training.activation_memory import activation_memory
from qwen2vl.training.loss import token_loss
from qwen2vl.training.parts import set_trained
from qwen2vl.training.train_config import Rates

from .conftest import ALL, DTYPES, SMALL, TRAINED, WIDE, model_of, row_of


class Box:
    """Holds a tensor that autograd saved; it is freed when the graph no longer needs the tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def bytes_kept_by_autograd(model: Qwen2VL, inputs: ModelInputs) -> int:
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
def test_the_activations_that_autograd_keeps_are_counted(config, precision, mode, trained, samples):
    model, inputs = model_of(config, precision, TRAINED[trained], mode), pack(samples)
    expected = activation_memory(model, row_of(inputs), mode, DTYPES[precision].itemsize, "cpu")
    assert expected.total == pytest.approx(bytes_kept_by_autograd(model, inputs), rel=0.1)
    if TRAINED[trained].tower == 0:
        assert expected.parts["tower"] == 0


def test_the_activations_of_a_model_with_an_adapter_are_counted_as_an_upper_bound(samples):
    """The count is up to 15 % too high: base layers do not keep their inputs twice, and norms are frozen."""
    model, inputs = new_model(WIDE, 0), pack(samples)
    add_adapter(model, LoraConfig(rank=8), seed=0)
    set_trained(model, Rates(decoder=1e-4))
    real = bytes_kept_by_autograd(model, inputs)
    assert real <= activation_memory(model, row_of(inputs), "none", 4, "cpu").total <= 1.15 * real


def test_long_segments_keep_no_scores(samples):
    """A document so long that a CPU no longer computes attention by plain products."""
    model = model_of(SMALL, "fp32", ALL, "none")
    text = replace(samples[3], ids=samples[3].ids.repeat(40), labels=samples[3].labels.repeat(40))
    length = len(text.ids)
    long = replace(
        text,
        positions=torch.arange(length).expand(3, -1),
        segments=torch.tensor([0, length], dtype=torch.int32),
    )
    assert length > 400
    inputs = pack([long, samples[0]])
    expected = activation_memory(model, row_of(inputs), "none", 4, "cpu").total
    assert expected == pytest.approx(bytes_kept_by_autograd(model, inputs), rel=0.1)
