"""Packed = one by one, chunked = whole, any accumulation = one row, in the loss and in every gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from qwen2vl.data.samples import PackRequest
from qwen2vl.model.init import new_model
from qwen2vl.spec.inputs import pack
from qwen2vl.training.activations import compile_layers, recompute
from qwen2vl.training.loss import exact_documents, token_loss

from .conftest import SMALL

ROWS = range(6)
"""An image, two, a video, text alone, a document, a masked dialogue."""


@pytest.fixture
def samples(reader):
    return [reader.read(row) for row in ROWS]


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def close(one, other, tolerance=1e-5):
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], atol=tolerance, rtol=tolerance, msg=name)


def gradients_of(model, rows, **options):
    """Gradients of the summed loss over some rows, divided by their supervised tokens, and that loss."""
    losses = [token_loss(model, row, **options) for row in rows]
    for loss in losses:
        if loss.count:
            loss.total.backward()
    count = sum(loss.count for loss in losses)
    found = {name: gradient / count for name, gradient in gradients(model).items()}
    model.zero_grad()
    return sum(loss.total.item() for loss in losses) / count, found


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_packed_equals_one_by_one_in_loss_and_every_gradient(samples, small_model, groups):
    """Also a row of text alone, and a row with a video; any way of accumulating them."""
    model = small_model()
    loss, apart = gradients_of(model, samples)
    size = len(samples) // groups
    rows = [pack(samples[first : first + size]) for first in range(0, len(samples), size)]
    packed, together = gradients_of(model, rows)
    assert packed == pytest.approx(loss, rel=1e-5)
    close(together, apart)


def test_a_row_without_labels_changes_nothing(samples, reader, small_model):
    model = small_model()
    silent = reader.pack(PackRequest(step=0, rows=(0, 2), skipped=frozenset({0, 2}))).inputs
    loss, plain = gradients_of(model, [pack(samples)])
    beside, found = gradients_of(model, [pack([*samples, silent])])
    assert beside == pytest.approx(loss, rel=1e-5)
    close(found, plain)
    assert token_loss(model, silent).count == 0


@pytest.mark.parametrize("rows_at_a_time", [1, 7, 10_000])
def test_the_chunked_head_equals_whole_logits(samples, small_model, rows_at_a_time):
    model, row = small_model(), pack(samples)
    targets = (row.labels >= 0).nonzero().squeeze(1)
    logits = model(row, rows=targets - 1).logits
    whole = F.cross_entropy(logits, row.labels[targets], reduction="none")
    whole.sum().backward()
    expected = gradients(model)
    model.zero_grad()
    loss = token_loss(model, row, chunk_logits=rows_at_a_time * SMALL.text.vocab_size)
    loss.total.backward()
    torch.testing.assert_close(loss.each, whole.detach())
    assert loss.correct.equal(logits.argmax(-1) == row.labels[targets])
    close(gradients(model), expected)


def test_the_chunked_head_never_holds_all_logits(small_model, samples):
    """The largest tensor that the head makes in forward and backward has one chunk of rows."""
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            shape = getattr(out, "shape", ())
            if len(shape) == 2 and shape[1] == SMALL.text.vocab_size and shape[0] != SMALL.text.hidden_size:
                seen.append(shape[0])  # of logits; the other shape is the head's weight
            return out

    model = small_model()
    with Watch():
        loss = token_loss(model, pack(samples), chunk_logits=4 * SMALL.text.vocab_size)
        loss.total.backward()
    assert loss.count > 10
    assert max(seen) == 4


def test_every_parameter_receives_a_gradient(samples, small_model):
    model = small_model()
    token_loss(model, pack(samples)).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_recomputed_activations_change_nothing(samples, small_model, mode):
    plain, saving = small_model(), small_model()
    recompute(saving, mode)
    row = pack(samples)
    (loss, expected), (again, found) = gradients_of(plain, [row]), gradients_of(saving, [row])
    assert loss == again
    close(found, expected, 1e-7)


def test_selective_recomputing_does_no_product_twice(samples, small_model):
    """Products in forward and backward, with and without: only the cheap operations between them come again."""
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
    """Bytes that autograd keeps for the backward pass."""
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
    close(gradients_of(compiled, [row])[1], gradients_of(plain, [row])[1])


def test_only_supervised_tokens_count(samples, small_model, processor):
    sample = samples[0]
    loss = token_loss(small_model(), sample)
    assert loss.count == int((sample.labels >= 0).sum())
    tokens = processor.config.tokens
    assert not (sample.ids[loss.rows] == tokens.image_pad).any()
    assert sample.ids[loss.rows[-1]] == tokens.eos


def test_labels_of_one_document_are_never_asked_of_another(samples):
    """The first token of a document is never supervised, so no row of its neighbour predicts it."""
    packed = pack(samples)
    assert (packed.labels[packed.segments[:-1].long()] == -100).all()


def test_exact_documents_names_those_without_a_wrong_token(samples, small_model):
    packed = pack(samples[:4])
    loss = token_loss(small_model(), packed)
    right = torch.ones_like(loss.correct)
    last_of_second = int((loss.rows < packed.segments[2]).sum()) - 1
    right[last_of_second] = False
    judged = type(loss)(total=loss.total, each=loss.each, correct=right, rows=loss.rows)
    assert exact_documents(packed, judged).tolist() == [True, False, True, True]


def test_bf16_is_near(samples):
    row = pack(samples)
    plain, low = new_model(SMALL, 0), new_model(SMALL, 0).bfloat16()
    assert token_loss(low, row).total.item() == pytest.approx(token_loss(plain, row).total.item(), rel=2e-2)
