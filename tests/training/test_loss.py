import pytest
import torch
from torch import nn

from qwen2vl.spec.inputs import pack
from qwen2vl.training.loss import exact_documents, token_loss


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_packed_equals_one_by_one_in_loss_and_every_gradient(rows, small_model):
    samples = rows.samples(0)
    model = small_model()
    one_by_one = [token_loss(model, sample) for sample in samples]
    sum(loss.total for loss in one_by_one).backward()
    apart = gradients(model)
    model.zero_grad()
    together = token_loss(model, pack(samples))
    together.total.backward()
    assert together.count == sum(loss.count for loss in one_by_one)
    assert together.total.item() == pytest.approx(sum(loss.total.item() for loss in one_by_one), rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, apart[name], atol=1e-4, rtol=1e-4, msg=name)


def test_every_parameter_receives_a_gradient(rows, small_model):
    model = small_model()
    token_loss(model, rows(0)).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_only_supervised_tokens_count(rows, small_model):
    sample = rows.samples(0)[0]
    loss = token_loss(small_model(), sample)
    assert loss.count == int((sample.labels >= 0).sum())
    tokens = rows.processor.config.tokens
    assert not (sample.ids[loss.rows] == tokens.image_pad).any()
    assert sample.ids[loss.rows[-1]] == tokens.eos


def test_labels_of_one_document_are_never_asked_of_another(rows, small_model):
    """The first token of a document is never supervised, so no row of its neighbour predicts it."""
    packed = rows(0)
    assert (packed.labels[packed.segments[:-1].long()] == -100).all()


def test_exact_documents_names_those_without_a_wrong_token(rows, small_model):
    packed = rows(0)
    loss = token_loss(small_model(), packed)
    right = torch.ones_like(loss.correct)
    last_of_second = int((loss.rows < packed.segments[2]).sum()) - 1
    right[last_of_second] = False
    judged = type(loss)(total=loss.total, count=loss.count, correct=right, rows=loss.rows)
    assert exact_documents(packed, judged).tolist() == [True, False, True, True]
