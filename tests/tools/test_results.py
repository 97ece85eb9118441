"""Ratios, bounds and verdicts of comparisons; clocks."""

import torch

from tools.measuring import gemm_rate, interleave
from tools.results import Comparison


def test_interleaving_alternates() -> None:
    seen: list[str] = []
    times = interleave({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert "".join(seen) == "abbaab"
    assert [len(values) for values in times.values()] == [3, 3]


def test_the_gemm_rate_is_measured() -> None:
    assert gemm_rate(torch.float32, 8, seconds=0.001) > 0


def test_ratios_and_verdicts() -> None:
    quick = Comparison(what="a", unit="s", ours=[1, 1, 9], theirs=[2.0], floor=1.5, aim=3.0)
    assert (quick.ratio, quick.holds) == (2.0, True)
    many = Comparison(what="a", unit="tokens/s", better="higher", ours=[3.0], theirs=[2.0], floor=2.0)
    assert (many.ratio, many.holds) == (1.5, False)
    heavy = Comparison(what="a", unit="MB", ours=[10.0], ceiling=10.0)
    assert (heavy.ratio, heavy.holds) == (None, False)
    full = Comparison(what="a", unit="", ours=[0.9], better="higher", least=0.9)
    assert full.holds
    assert full.to_json()["least"] == 0.9
    assert Comparison(what="a", unit="s", ours=[1.0]).holds is None
