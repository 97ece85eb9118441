"""Conversations per second that one core trains: this code beside an earlier checkout, at equal sizes.

    python -m experiments.training_speed runs/nano-store runs/nano-records/tokenizer --before ../earlier-checkout

Sides, in turns, each in a process of its own with one thread: the earlier checkout with packs of 896 tokens as its recipe had
them, this code uncompiled, and this code compiled, both with packs of 4,096. All read the same conversations, weights are bf16. A
time is that of the processor, so other work on the machine counts less. Writes benchmarks/results/training_speed.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

SIZES = {
    "3.2M": {"tower": (128, 4, 4), "decoder": (192, 512, 4, 6, 2), "sections": (4, 6, 6)},
    "8.9M": {"tower": (192, 6, 3), "decoder": (256, 704, 6, 4, 2), "sections": (8, 12, 12)},
    "15.6M": {"tower": (256, 6, 4), "decoder": (320, 896, 8, 5, 1), "sections": (8, 12, 12)},
}
"""Width, depth and heads of the tower; width, inner width, depth, query and key heads of the decoder; M-RoPE's sections."""
SIDES = {"before": (896, False), "uncompiled": (4096, False), "compiled": (4096, True)}
"""Tokens of a pack, and whether layers are compiled."""
CONVERSATIONS = 400
WARM_UP = 2


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("tokenizer", type=Path, help="folder of the processor that the store was built with")
    parser.add_argument("--before", type=Path, default=None, help="an earlier checkout; without it, this code alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        serve(*options.child, options.store, options.tokenizer)
        return 0
    from tools.results import RESULTS, describe_machine, versions

    result: dict[str, Any] = {"machine": describe_machine(1), "versions": versions(), "conversations": CONVERSATIONS}
    result["sizes"] = {size: measure(size, options) for size in options.sizes}
    path = RESULTS / "training_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {path}")
    return 0


def measure(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Conversations per second of every side at one size, and their ratios to the earlier code."""
    sides = [side for side in SIDES if side != "before" or options.before]
    children = {side: start(side, size, options) for side in sides}
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(options.rounds + WARM_UP):
        for side in sides[:: 1 if turn % 2 == 0 else -1]:
            rate = ask(children[side])
            if turn >= WARM_UP:
                rates[side].append(rate)
    for child in children.values():
        child.communicate("\n")
    found: dict[str, Any] = {"conversations_per_s": rates}
    if options.before:
        found["times_before"] = {side: median(rates[side]) / median(rates["before"]) for side in sides}
    print(size, {side: round(median(each), 1) for side, each in rates.items()}, flush=True)
    return found


def start(side: str, size: str, options: argparse.Namespace) -> "subprocess.Popen[str]":
    here = Path(__file__).resolve()
    checkout = options.before if side == "before" else here.parent.parent
    command = [sys.executable, str(here), str(options.store), str(options.tokenizer), "--child", side, size]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(child: "subprocess.Popen[str]") -> float:
    """Let a child train on its packs once; returns conversations per second."""
    assert child.stdin and child.stdout
    child.stdin.write("train\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def serve(side: str, size: str, store: Path, tokenizer: Path) -> None:
    """Train on the same packs at every line of standard input, without an optimizer; print conversations per second."""
    import torch

    from qwen2vl.common.memory import keep_freed_memory
    from qwen2vl.training.activations import compile_layers
    from qwen2vl.training.loss import token_loss

    torch.set_num_threads(1)
    keep_freed_memory()
    tokens, is_compiled = SIDES[side]
    model, packs = model_and_packs(SIZES[size], tokens, store, tokenizer)
    if is_compiled:
        compile_layers(model)
    while sys.stdin.readline().strip():
        began = time.process_time()
        for row in packs:
            token_loss(model, row).total.backward()
            for parameter in model.parameters():
                parameter.grad = None
        print(CONVERSATIONS / (time.process_time() - began), flush=True)


def model_and_packs(size: dict[str, Any], tokens: int, store: Path, tokenizer: Path) -> tuple[Any, list[Any]]:
    """A new model, and the same conversations as packs of at most this number of tokens."""
    import torch

    from qwen2vl.data.samples import SampleReader
    from qwen2vl.data.store import Store
    from qwen2vl.model.init import new_model
    from qwen2vl.processing.processor import Processor
    from qwen2vl.processing.tokenizer import Tokenizer
    from qwen2vl.spec.config import NANO
    from qwen2vl.spec.inputs import pack
    from qwen2vl.spec.media_settings import MediaSettings

    names = Tokenizer.load(tokenizer)
    width, depth, heads = size["tower"]
    vision = replace(NANO.vision, embed_dim=width, depth=depth, num_heads=heads, hidden_size=size["decoder"][0])
    fields = "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"
    sizes = dict(zip(fields, size["decoder"], strict=True))
    text = replace(NANO.text, **sizes, vocab_size=names.size, mrope_section=size["sections"])
    config = replace(NANO, vision=vision, text=text)
    reader = SampleReader(Store(store), Processor(names, config, MediaSettings.load(tokenizer)))
    rows = [reader.read(row) for row in Random(0).sample(range(len(reader.store)), CONVERSATIONS)]
    packs, waiting = [], []
    for row in rows:
        if waiting and sum(each.num_tokens for each in waiting) + row.num_tokens > tokens:
            packs.append(pack(waiting))
            waiting = []
        waiting.append(row)
    return new_model(config, 0).to(torch.bfloat16), [*packs, pack(waiting)]


if __name__ == "__main__":
    raise SystemExit(main())
