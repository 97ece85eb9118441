"""Muon's update is orthogonal, of a known size, and the same however many processes work it out."""

from dataclasses import replace

import pytest
import torch

from qwen2vl.training.muon import RMS, Muon, orthogonalised

from .conftest import CONFIG, curve_of, stage_of, trainer_of

SHAPES = ((48, 48), (16, 64), (64, 16), (1, 8))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_direction_moves_alike(shape):
    """Singular values from 1 down to 0.02 come out near 1, with the directions kept."""
    torch.manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    spread = torch.logspace(0, -1.7, len(s))
    found = orthogonalised(u * spread @ v).float()
    values = torch.linalg.svdvals(found)
    assert 0.6 < values.min() <= values.max() < 1.3
    assert (u.T @ found @ v.T).diagonal().min() > 0.6


def muon_of(matrices, rank=0, size=1, add_up=lambda tensors: None) -> Muon:
    muon = Muon([{"params": matrices, "weight_decay": 0.1}], rank, size, add_up)
    muon.param_groups[0]["lr"] = 1e-2
    for matrix in matrices:
        muon.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
    return muon


def matrices_of(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    matrices = [torch.randn(shape) for shape in SHAPES]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    return matrices


def test_an_update_has_the_size_that_the_rate_says():
    (matrix, *_) = matrices_of()
    before = matrix.clone()
    muon_of([matrix]).step()
    moved = matrix - before * (1 - 1e-2 * 0.1)
    assert float(moved.square().mean().sqrt()) == pytest.approx(1e-2 * RMS, rel=0.25)
    assert float((moved * matrix.grad).sum()) < 0


@pytest.mark.parametrize("size", [2, 3])
def test_processes_that_take_turns_find_what_one_finds(size):
    """Played one process after the other: what add_up would sum is kept for the next replay, until all have it."""
    alone = matrices_of()
    muon_of(alone).step()
    sums: dict[int, list[torch.Tensor]] = {}
    for rank in range(size):
        rounds = iter(range(100))

        def add(tensors, rounds=rounds):
            known = sums.setdefault(next(rounds), [torch.zeros_like(tensor) for tensor in tensors])
            for total, tensor in zip(known, tensors, strict=True):
                total += tensor

        muon_of(matrices_of(), rank, size, add).step()
    rounds, together = iter(range(100)), matrices_of()

    def take(tensors):
        for tensor, total in zip(tensors, sums[next(rounds)], strict=True):
            tensor.copy_(total)

    muon_of(together, 0, size, take).step()
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


def test_a_run_resumes_bit_for_bit_and_other_parameters_have_adamw(tmp_path, store, small_model):
    config, stages = replace(CONFIG, optimizer="muon"), (stage_of(steps=4),)
    trainer_of(tmp_path / "whole", store, small_model(), stages, config).train()
    for steps in (1, 3, None):
        trainer = trainer_of(tmp_path / "parts", store, small_model(), stages, config)
        trainer.train(steps)
    assert curve_of(tmp_path / "parts") == curve_of(tmp_path / "whole")
    moments = {name: set(held) for name, held in trainer.optimizer.moments.items()}
    assert moments["model.layers.0.mlp.up_proj.weight"] == {"momentum_buffer"}
    for edge in ("model.embed_tokens.weight", "visual.patch_embed.proj.weight", "model.norm.weight"):
        assert moments[edge] == {"exp_avg", "exp_avg_sq", "step"}
