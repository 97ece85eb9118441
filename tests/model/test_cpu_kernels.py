"""The switch from oneDNN to torch's own kernels: it takes effect, it is undone, and it changes nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import linear

from qwen2vl.model.cpu_kernels import without_onednn
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.inputs import ModelInputs

MakeModel = Callable[..., Qwen2VL]
MakeRow = Callable[..., ModelInputs]

onednn = torch.backends.mkldnn


def one_row_product() -> torch.Tensor:
    """A product of integers so small that every kernel must give the same bits."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randint(-1, 2, shape, generator=generator).bfloat16() for shape in ((1, 256), (512, 256)))
    with torch.inference_mode():
        return linear(x, weight)


def settings() -> tuple[object, ...]:
    return onednn.enabled, onednn.deterministic, onednn.fp32_precision, onednn.matmul.fp32_precision


@pytest.mark.skipif(
    not onednn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="torch gives bf16 products to oneDNN only on a CPU with AVX-512",
)
def test_the_product_of_one_row_moves_from_onednn_to_torch(capfd: pytest.CaptureFixture[str]) -> None:
    """oneDNN prints each product that it computes. Fails if torch changes the switch, or needs none any more."""
    with onednn.verbose(onednn.VERBOSE_ON):
        usual = one_row_product()
        assert "exec,cpu,matmul" in capfd.readouterr().out
        with without_onednn():
            found = one_row_product()
        assert "exec,cpu,matmul" not in capfd.readouterr().out
    assert torch.equal(found, usual)


def test_the_switch_is_undone_after_an_error_too() -> None:
    before = settings()
    with pytest.raises(KeyError), without_onednn():
        assert not onednn.enabled
        raise KeyError
    assert settings() == before


def test_an_inherited_precision_stays_inherited() -> None:
    """torch.backends.mkldnn.flags would make it a setting of oneDNN, and is not used for that reason."""
    before = torch.backends.fp32_precision
    try:
        torch.backends.fp32_precision = "tf32"
        with without_onednn():
            assert onednn.fp32_precision == "tf32"
        torch.backends.fp32_precision = "ieee"
        assert onednn.fp32_precision == "ieee"
    finally:
        torch.backends.fp32_precision = before


@pytest.mark.parametrize(
    ("dtype", "num_tokens", "uses_onednn"),
    [(torch.bfloat16, 1, False), (torch.bfloat16, 2, True), (torch.float32, 1, True)],
)
def test_only_one_row_of_bf16_is_computed_without_onednn(
    make_model: MakeModel, make_row: MakeRow, dtype: torch.dtype, num_tokens: int, uses_onednn: bool
) -> None:
    model, seen = make_model().to(dtype), []
    for layer in (model.model.layers[1].mlp.up_proj, model.lm_head):
        layer.register_forward_hook(lambda *_: seen.append(onednn.enabled))
    cache = KVCache(model.config.text, 1, num_tokens, device=model.device, dtype=dtype)
    with torch.inference_mode():
        model(make_row([num_tokens]), cache=cache)
    assert seen == [uses_onednn] * 2
    assert onednn.enabled


def test_training_on_one_row_of_bf16_keeps_onednn(make_model: MakeModel, make_row: MakeRow) -> None:
    model, seen = make_model().bfloat16(), []
    model.lm_head.register_forward_hook(lambda *_: seen.append(onednn.enabled))
    model(make_row([4]), rows=torch.tensor([1]))
    assert seen == [True]
