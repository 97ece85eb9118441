"""The loss and every gradient are the same packed or one by one, chunked or whole, in one row or several."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from qwen2vl.data.samples import PackRequest
from qwen2vl.model.init import new_model
from qwen2vl.spec.inputs import pack
from qwen2vl.training.loss import exact_documents, token_loss

from .conftest import SMALL, assert_close, gradients, gradients_of


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_packed_equals_one_by_one_in_loss_and_every_gradient(samples, small_model, groups):
    """Among the samples are one of text alone and one with a video; they share one row, two, three or none."""
    model = small_model()
    loss, apart = gradients_of(model, samples)
    size = len(samples) // groups
    rows = [pack(samples[first : first + size]) for first in range(0, len(samples), size)]
    packed, together = gradients_of(model, rows)
    assert packed == pytest.approx(loss, rel=1e-5)
    assert_close(together, apart)


def test_a_row_without_labels_changes_nothing(samples, reader, small_model):
    model = small_model()
    unsupervised = reader.pack(PackRequest(step=0, rows=(0, 2), skipped=frozenset({0, 2}))).inputs
    loss, plain = gradients_of(model, [pack(samples)])
    beside, found = gradients_of(model, [pack([*samples, unsupervised])])
    assert beside == pytest.approx(loss, rel=1e-5)
    assert_close(found, plain)
    assert token_loss(model, unsupervised).count == 0


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
    assert_close(gradients(model), expected)


def test_the_chunked_head_never_holds_all_logits(small_model, samples):
    """No tensor of logits, in the forward or backward pass, has more rows than a chunk."""
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            shape = getattr(out, "shape", ())
            if len(shape) == 2 and shape[1] == SMALL.text.vocab_size and shape[0] != SMALL.text.hidden_size:
                seen.append(shape[0])  # the excluded shape is that of the head's weight
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


def test_only_supervised_tokens_count(samples, small_model, processor):
    sample = samples[0]
    loss = token_loss(small_model(), sample)
    assert loss.count == int((sample.labels >= 0).sum())
    tokens = processor.config.tokens
    assert not (sample.ids[loss.rows] == tokens.image_pad).any()
    assert sample.ids[loss.rows[-1]] == tokens.eos


def test_no_document_is_predicted_from_another(samples):
    """The first token of a document is never supervised, so the last token of the document before never predicts it."""
    packed = pack(samples)
    assert (packed.labels[packed.segments[:-1].long()] == -100).all()


def test_exact_documents_are_those_without_a_wrong_token(samples, small_model):
    packed = pack(samples[:4])
    loss = token_loss(small_model(), packed)
    right = torch.ones_like(loss.correct)
    last_of_second = int((loss.rows < packed.segments[2]).sum()) - 1
    right[last_of_second] = False
    judged = type(loss)(total=loss.total, each=loss.each, correct=right, rows=loss.rows)
    assert exact_documents(packed, judged).tolist() == [True, False, True, True]


def test_the_loss_in_bf16_is_close(samples):
    row = pack(samples)
    plain, low = new_model(SMALL, 0), new_model(SMALL, 0).bfloat16()
    assert token_loss(low, row).total.item() == pytest.approx(token_loss(plain, row).total.item(), rel=2e-2)
