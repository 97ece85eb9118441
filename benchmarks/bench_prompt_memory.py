"""Peak memory of a 4,096-token prompt at the 2B's width and vocabulary, each side in a separate process.

Logits of a whole prompt are 1.2 GB in bf16 (2.5 GB in fp32) that nobody reads. We never compute them; transformers computes
them in a plain forward, but not if it is asked for the last row, as its generate() does.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.agreement import check_top
from benchmarks.bench_first_token import Ours
from benchmarks.peer import SMALL, random_model, shortened, transformers_twin
from benchmarks.synthetic_inputs import text_prompt
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from tools.measuring import MEGABYTE, peak_resident_bytes, reset_peak, resident_bytes
from tools.results import Comparison, Result
from tools.script import options_parser, parse_options, run_child, run_script, say

SIDES = ("ours", "as generate()", "plain forward")
"""The last two are transformers with and without logits_to_keep=1."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--tokens", type=int, default=None, help="tokens of the prompt (4096)")
    parser.add_argument("--child", choices=SIDES, default=None, help="measure one side here and print it as JSON")
    parser.add_argument(
        "--logits", type=Path, default=None, help="file in which a child stores the logits of the last row"
    )
    options = parse_options(parser, argv, repeats=1)
    options.tokens = options.tokens or (128 if options.small else 4096)
    if options.child:
        found = measure_side(options.child, options)
        torch.save(found.pop("last"), options.logits)
        say(json.dumps(found))
        return 0
    say(f"prompt_memory: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    config = shape(options.small)
    found, last = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for number, side in enumerate(SIDES):
            logits = Path(folder) / f"{number}.pt"
            arguments = ["--child", side, "--logits", str(logits), "--tokens", str(options.tokens)]
            found[side] = run_child("benchmarks.bench_prompt_memory", options, *arguments)
            last[side] = torch.load(logits, weights_only=True)
            say(f"  {side}: grew by {found[side]['growth'] / MEGABYTE:.0f} MB")
    checks = [check_top(f"last row, ours and transformers {side}", last["ours"], last[side]) for side in SIDES[1:]]
    prompt_logits = options.tokens * config.text.vocab_size * 2 / MEGABYTE
    grown = {side: [one["growth"] / MEGABYTE] for side, one in found.items()}
    return Result(
        name="prompt_memory",
        title=f"Peak memory of a {options.tokens}-token prompt",
        settings={
            "prompt_tokens": options.tokens, "layers": config.text.num_hidden_layers, "dtype": "bf16",
            "width": config.text.hidden_size, "vocabulary": config.text.vocab_size,
            "logits_of_the_prompt_mb": prompt_logits, "rows_of_logits": {s: f["rows"] for s, f in found.items()},
            "weights_and_libraries_mb": {s: f["before"] / MEGABYTE for s, f in found.items()},
            "peak_was_reset": {s: f["was_reset"] for s, f in found.items()},
        },
        agreement={"checks": checks},
        comparisons=[
            Comparison(
                what=f"Memory that a prompt of {options.tokens} tokens adds, transformers {side}",
                unit="MB",
                ours=grown["ours"],
                theirs=grown[side],
                ceiling=None if options.small else prompt_logits,
                note=f"logits of the whole prompt would be {prompt_logits:.0f} MB in bf16",
            )
            for side in SIDES[1:]
        ],
    )  # fmt: skip


def shape(small: bool) -> Qwen2VLConfig:
    """The published decoder with four layers, and a tiny tower, which does not run."""
    if small:
        return SMALL
    config = shortened(Qwen2VLConfig.named("2b"), depth=1, layers=4)
    return replace(config, vision=replace(config.vision, embed_dim=64, num_heads=4))


def measure_side(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """Memory that one prompt adds to weights and libraries, after a short prompt, which loads everything that is loaded only once."""
    config = shape(options.small)
    model = random_model(config, torch.bfloat16)
    run = side_of(side, model, config)
    run(text_prompt(config, 64))
    before = resident_bytes()
    was_reset = reset_peak()
    logits = run(text_prompt(config, options.tokens))
    growth = max(0, peak_resident_bytes() - before)
    return {
        "side": side, "before": before, "growth": growth, "was_reset": was_reset,
        "rows": logits.shape[0], "last": logits[-1].float().clone(),
    }  # fmt: skip


def side_of(side: str, model: Qwen2VL, config: Qwen2VLConfig) -> Callable[[ModelInputs], Tensor]:
    """A function from a prompt to the logits that are computed for it, [rows, V]."""
    if side == "ours":
        return lambda prompt: Ours(model, prompt, 1).first_token()[None]
    twin = transformers_twin(model)
    keep = {"logits_to_keep": 1} if side == "as generate()" else {}

    @torch.inference_mode()
    def run(prompt: ModelInputs) -> Tensor:
        return twin(input_ids=prompt.ids[None], use_cache=True, **keep).logits[0]

    return run


if __name__ == "__main__":
    run_script(main)
