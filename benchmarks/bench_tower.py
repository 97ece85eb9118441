"""Vision tower at real width: 16 images of mixed sizes, packed in one call.

Both sides run eagerly and with compiled blocks, in turns; the line with a floor compares the best of each side.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.agreement import check_exact, check_rounded
from benchmarks.peer import SMALL, normalised, random_model, shortened, transformers_twin
from benchmarks.synthetic_inputs import random_patches
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import tower_flops
from tools.measuring import costliest, gemm_rate, interleave
from tools.results import Comparison, Result
from tools.script import options_parser, parse_options, run_script, say

SIZES = (
    (16, 16), (16, 24), (32, 32), (16, 28), (24, 16), (12, 16), (20, 20), (16, 32),
    (12, 20), (24, 20), (8, 16), (28, 12), (20, 24), (16, 16), (24, 24), (12, 12),
)  # fmt: skip
"""Rows and columns of patches: from 168x168 pixels (36 tokens) to 448x448 (256 tokens), 1,528 tokens in all."""

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--depth", type=int, default=None, help="tower blocks (8; the published tower has 32)")
    parser.add_argument(
        "--dtype", choices=DTYPES, default=None, help="precision of both sides (the one with the faster GEMM)"
    )
    parser.add_argument("--no-compile", action="store_true", help="eager only")
    parser.add_argument(
        "--profile", action="store_true", help="put the costliest operators of both sides in the result"
    )
    options = parse_options(parser, argv, repeats=3)
    say(f"tower: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    rates = {name: gemm_rate(dtype, 64 if options.small else 1280) for name, dtype in DTYPES.items()}
    dtype = options.dtype or max(rates, key=rates.__getitem__)
    config = benchmark_config(options.small, options.depth or 8)
    grids = [(1, *size) for size in (SIZES[5:8] if options.small else SIZES)]
    agreement = [check_fp32(config, grids[:4])]
    say(f"  agrees in fp32 ({agreement[0]['largest_relative_difference']:.1e}); building {config.vision.depth} blocks")
    model = random_model(config, DTYPES[dtype])
    paths, both = tower_paths(model, transformers_twin(model), grids)
    compiled = {} if options.no_compile else compiled_paths(paths, both, "aot_eager" if options.small else "inductor")
    runs = {name: eager(run) for name, run in paths.items()} | compiled
    outputs = {name: run() for name, run in runs.items()}
    for name, output in outputs.items():
        agreement.append(check_rounded(f"{name} and transformers eager, {dtype}", output, outputs["transformers"]))
    say(f"  all agree; timing {', '.join(outputs)}, {options.repeats} times each")
    times = interleave(runs, options.repeats)
    flops = sum(tower_flops(config.vision, grid) for grid in grids)
    settings = {
        "images": len(grids), "patches": sum(h * w for _, h, w in grids), "blocks": config.vision.depth,
        "width": config.vision.embed_dim, "dtype": dtype, "attention": "SDPA", "repeats": options.repeats,
        "compile": sorted(compiled),
    }  # fmt: skip
    if options.profile:
        settings["profile"] = {name: costliest(run) for name, run in runs.items()}
    return Result(
        name="tower",
        title=f"Vision tower, {len(grids)} images of mixed sizes in one call, {config.vision.depth} blocks",
        settings=settings,
        agreement={"checks": agreement},
        comparisons=compare(times, flops, rates[dtype]),
        limits={f"gemm_gflops_{name}": rate / 1e9 for name, rate in rates.items()},
    )


def benchmark_config(small: bool, depth: int) -> Qwen2VLConfig:
    """The published tower with fewer blocks, and a tiny decoder."""
    if small:
        return SMALL
    config = shortened(Qwen2VLConfig.named("2b"), depth=depth, layers=1)
    return replace(config, text=replace(config.text, vocab_size=config.tokens.video_pad + 1, intermediate_size=64))


@torch.inference_mode()
def check_fp32(config: Qwen2VLConfig, grids: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """Compare strictly: two blocks of full width in fp32. Raises Disagreement."""
    model = random_model(shortened(config, depth=2), torch.float32)
    paths, _ = tower_paths(model, transformers_twin(model), grids)
    return check_exact("two blocks in fp32", paths["ours"](), paths["transformers"]())


def tower_paths(
    model: Qwen2VL, twin: Any, grids: Sequence[tuple[int, int, int]]
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, nn.ModuleList]]:
    """The calls to time and the blocks of both towers. Each side gets pixels in the form of its own processor."""
    patches, sizes = random_patches(grids, model.config.vision.patch_dim).to(model.device), torch.tensor(grids)
    pixels, their_sizes = normalised(model, patches), sizes.to(model.device)

    @torch.inference_mode()
    def ours() -> Tensor:
        return model.visual(patches, sizes)

    @torch.inference_mode()
    def theirs() -> Tensor:
        return twin.model.visual(pixels, grid_thw=their_sizes).pooler_output

    blocks = {"ours": model.visual.blocks, "transformers": twin.model.visual.blocks}
    return {"ours": ours, "transformers": theirs}, blocks


def eager(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same call, with compilation switched off."""

    def forced() -> Tensor:
        with torch.compiler.set_stance("force_eager"):
            return run()

    return forced


def compiled_paths(
    paths: dict[str, Callable[[], Tensor]], both: dict[str, nn.ModuleList], backend: str
) -> dict[str, Callable[[], Tensor]]:
    """The same calls with compiled blocks; without a side that torch.compile cannot handle on this machine."""
    compiled: dict[str, Callable[[], Tensor]] = {}
    for name, blocks in both.items():
        for block in blocks:
            block.compile(backend=backend)
        try:
            say(f"  compiling the blocks of {name}")
            paths[name]()
            compiled[f"{name} compiled"] = paths[name]
        except Exception as error:  # a compiler can fail in many ways
            say(f"  {name}: torch.compile failed here ({type(error).__name__}), eager only")
    return compiled


def compare(times: dict[str, list[float]], flops: int, rate: float) -> list[Comparison]:
    """The best of each side, with the floor, then both eager and both compiled."""
    best = {
        side: min((n for n in times if n.startswith(side)), key=lambda n: median(times[n]))
        for side in ("ours", "transformers")
    }
    lines = [("best of each side", best["ours"], best["transformers"], 1.3, 1.8)]
    lines += [
        (kind, f"ours{suffix}", f"transformers{suffix}", None, None)
        for kind, suffix in (("both eager", ""), ("both compiled", " compiled"))
        if f"ours{suffix}" in times and f"transformers{suffix}" in times
    ]
    return [
        Comparison(
            what=f"Vision tower, {kind}",
            unit="s",
            ours=times[ours],
            theirs=times[theirs],
            floor=floor,
            aim=aim,
            limit="GEMM rate",
            our_share=flops / median(times[ours]) / rate,
            their_share=flops / median(times[theirs]) / rate,
            note=f"{ours} against {theirs}" if floor else "",
        )
        for kind, ours, theirs, floor, aim in lines
    ]


if __name__ == "__main__":
    run_script(main)
