"""Recomputed and compiled layers give the same loss and gradients; recomputing keeps less."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qwen2vl.spec.inputs import pack
from qwen2vl.training.activations import compile_layers, recompute
from qwen2vl.training.loss import token_loss

from .conftest import assert_close, gradients_of


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_recomputed_activations_change_nothing(samples, small_model, mode):
    plain, saving = small_model(), small_model()
    recompute(saving, mode)
    row = pack(samples)
    (loss, expected), (again, found) = gradients_of(plain, [row]), gradients_of(saving, [row])
    assert loss == again
    assert_close(found, expected, 1e-7)


def test_selective_recomputing_does_no_product_twice(samples, small_model):
    """The number of products in forward and backward pass is the same as without; only operations between them repeat."""
    counts = {}

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            products.append(function.name() in ("aten::mm", "aten::addmm"))
            return function(*args, **(kwargs or {}))

    for mode in ("none", "selective", "full"):
        model, products = small_model(), []
        recompute(model, mode)
        with Count():
            token_loss(model, pack(samples)).total.backward()
        counts[mode] = sum(products)
    assert counts["selective"] == counts["none"] < counts["full"]


def test_recomputing_keeps_fewer_activations(samples, small_model):
    """Compared in bytes that autograd keeps for the backward pass."""
    kept = {}
    for mode in ("none", "selective", "full"):
        model, sizes = small_model(), {}
        recompute(model, mode)
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}

        def note(tensor, sizes=sizes, own=own):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = token_loss(model, pack(samples))
        kept[mode] = sum(sizes.values())
        assert loss.total.requires_grad
    assert kept["full"] < kept["none"]


# torch itself looks at .grad of the tensors that enter a graph, under a filter that "warnings are errors" overrules.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_layers_change_nothing(samples, small_model):
    plain, compiled = small_model(), small_model()
    compile_layers(compiled, backend="aot_eager")
    row = pack(samples[:3])
    assert_close(gradients_of(compiled, [row])[1], gradients_of(plain, [row])[1])


def test_without_a_compiler_layers_stay_as_they_are(samples, small_model, monkeypatch, caplog):
    monkeypatch.setattr("shutil.which", lambda name: None)
    plain, model = small_model(), small_model()
    compile_layers(model)
    assert "install g++" in caplog.text
    row = pack(samples[:1])
    assert gradients_of(model, [row])[0] == gradients_of(plain, [row])[0]
