"""Correctness and speed on one CUDA device, in one command and one result file.

In this order: agreement of every back-end; first token, decoding and the full tower at 2B beside transformers; training.
"""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

from benchmarks import bench_first_token
from benchmarks.agreement import check_rounded
from benchmarks.bench_tower import SIZES, tower_paths
from benchmarks.gpu.correctness import check_all
from benchmarks.gpu.train_rates import train_rates
from benchmarks.peer import SMALL, random_model, shortened, transformers_twin
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import tower_flops
from tools.measuring import interleave
from tools.results import Comparison, Result
from tools.script import options_parser, parse_options, run_script, say


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", type=int, default=None, help="number of tokens decoded in one run (128)")
    options = parse_options(parser, argv, repeats=7)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this torch sees no CUDA device: run it on a GPU machine, or with --device cpu --small --out DIR")
    options.tokens = options.tokens or (4 if options.small else 128)
    options.profile = False
    say(f"gpu: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    device = torch.device(options.device)
    config = SMALL if options.small else Qwen2VLConfig.named("2b")
    lengths = (5, 12, 12, 3) if options.small else (36, 256, 1024, 256, 1000, 64)
    checks = check_all(shortened(config, depth=2, layers=2), device, lengths)
    say(f"  {len(checks)} checks of correctness hold")
    with_peer = importlib.util.find_spec("transformers") is not None
    comparisons: list[Comparison] = []
    limits: dict[str, float] = {}
    settings: dict[str, Any] = {"dtype": "bf16", "compared_with_transformers": with_peer, "repeats": options.repeats}
    if with_peer:
        answered = bench_first_token.measure(options, options.device, config)
        comparisons, limits = list(answered.comparisons), answered.limits
        checks += answered.agreement["checks"]
        settings |= answered.settings
        say("  first token and decoding timed")
        comparisons = [*comparisons, tower(config, device, options, limits["gemm_gflops_bf16"] * 1e9, checks)]
        say("  tower timed")
    else:
        say("  transformers is not installed: nothing is compared with it")
    batches = (2,) if options.small else (32, 256, 1024)
    lines, losses = train_rates(device, batches, options.repeats)
    return Result(
        name="gpu",
        title="On a GPU",
        settings=settings | losses,
        agreement={"checks": checks},
        comparisons=[*comparisons, *lines],
        limits=limits,
    )


def tower(
    config: Qwen2VLConfig, device: torch.device, options: argparse.Namespace, rate: float, checks: list[dict[str, Any]]
) -> Comparison:
    """Compare the whole tower (32 blocks) over 16 images, both sides eager."""
    grids = [(1, *size) for size in (SIZES[5:8] if options.small else SIZES)]
    model = random_model(shortened(config, layers=1), torch.bfloat16, device)
    paths, _ = tower_paths(model, transformers_twin(model), grids)
    checks.append(check_rounded("whole tower, bf16", paths["ours"](), paths["transformers"]()))
    times = interleave(dict[str, Callable[[], object]](paths), options.repeats, device)
    flops = sum(tower_flops(config.vision, grid) for grid in grids)
    return Comparison(
        what=f"Vision tower, {len(grids)} images, {config.vision.depth} blocks",
        unit="s",
        ours=times["ours"],
        theirs=times["transformers"],
        limit="GEMM rate",
        our_share=flops / median(times["ours"]) / rate,
        their_share=flops / median(times["transformers"]) / rate,
    )


if __name__ == "__main__":
    run_script(main)
