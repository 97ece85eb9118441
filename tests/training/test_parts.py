"""A stage computes no gradients for the parts that it does not train."""

from qwen2vl.training.train_config import Rates

from .conftest import THREE_STAGES, stage_of, trainer_of


def test_a_frozen_tower_builds_no_graph(tmp_path, store, small_model, reader):
    model = small_model()
    trainer_of(tmp_path, store, model, [THREE_STAGES[2]])
    inputs = reader.read(0)
    assert not model.visual(inputs.patches, inputs.grids).requires_grad
    assert model.hidden(inputs).requires_grad


def test_a_frozen_tower_before_a_trained_merger_builds_no_graph(tmp_path, store, small_model, reader):
    model = small_model()
    trainer_of(tmp_path, store, model, [stage_of(rates=Rates(merger=1e-3, decoder=1e-3))])
    seen = []
    model.visual.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    inputs = reader.read(0)
    assert model.visual(inputs.patches, inputs.grids).requires_grad
    assert seen == [False]
