"""Blocks of tower and decoder compile, and are not compiled again for other sizes.

They are traced but not optimised, so no compiler is needed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs, pack

MakeModel = Callable[..., Qwen2VL]
Make = Callable[..., ModelInputs]

# torch itself looks at .grad of the tensors that enter a graph, under a filter that "warnings are errors" overrules.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(model: Qwen2VL, dynamic: bool | None = True) -> Qwen2VL:
    for block in [*model.visual.blocks, *model.model.layers]:
        block.compile(backend="aot_eager", dynamic=dynamic)
    return model


def test_compiled_blocks_of_the_tower_compile_once(make_model: MakeModel, make_row: Make) -> None:
    plain, fast = make_model(), compiled(make_model())
    rows = [make_row(parts) for parts in ([(1, 4, 6)], [(1, 6, 6), (2, 4, 4)], [(3, 2, 2)])]
    with torch.inference_mode(), torch._dynamo.config.patch(error_on_recompile=True):
        for row in rows:
            found = fast.visual(row.patches, row.grids)
            torch.testing.assert_close(found, plain.visual(row.patches, row.grids), atol=1e-5, rtol=1e-5)


def test_compiled_blocks_have_the_same_gradients(make_model: MakeModel, make_row: Make) -> None:
    """For one shape only: tracing the backward pass for any shape takes 20 seconds."""
    plain, fast = make_model(), compiled(make_model(), dynamic=False)
    row = pack([make_row([5, (1, 4, 4), 3], 1), make_row([8], 2)])
    for model in (plain, fast):
        model(row).logits.square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_compiled_layers_compile_once_while_decoding(make_model: MakeModel, make_row: Make) -> None:
    """This failed once: each layer number had its own graph, until torch stopped compiling after eight."""
    plain, fast, row = make_model(), compiled(make_model()), make_row([12])
    cache = KVCache(fast.config.text, 1, 12, device=fast.device, dtype=fast.dtype)

    def piece(begin: int, end: int) -> torch.Tensor:
        ends = torch.tensor([0, end - begin], dtype=torch.int32)
        part = replace(row, ids=row.ids[begin:end], positions=row.positions[:, begin:end], segments=ends)
        return fast(part, cache=cache).logits

    with torch.inference_mode(), torch._dynamo.config.patch(error_on_recompile=True):
        found = torch.cat([piece(0, 5), piece(5, 9), piece(9, 12)])
        torch.testing.assert_close(found, plain(row).logits, atol=1e-5, rtol=1e-5)
