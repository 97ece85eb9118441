"""The 2B shape: time to the first token of an image prompt, then tokens per second of greedy decoding.

Times run from the output of each side's processor (uint8 patches here, normalised floats there) to the chosen token. Both
sides run a bare loop around the model, without tokenizer, sampling settings and generate().
"""

import argparse
import inspect
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.agreement import check_exact, check_rounded, check_top
from benchmarks.peer import SMALL, normalised, random_model, shortened, transformers_twin
from benchmarks.synthetic_inputs import image_prompt
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import decoder_flops, kv_bytes_per_token, tower_flops
from qwen2vl.spec.inputs import ModelInputs
from tools.measuring import bandwidth, costliest, gemm_rate, interleave
from tools.results import Comparison, Result
from tools.script import options_parser, parse_options, run_script, say

GRID = (1, 32, 32)
"""448x448 pixels, 256 tokens."""
NUM_TEXT = 20
"""Number of words before the image, and of words after it."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--tokens", type=int, default=None, help="number of tokens decoded in one run (32)")
    parser.add_argument(
        "--profile", action="store_true", help="put the costliest operators of both sides in the result"
    )
    options = parse_options(parser, argv, repeats=3)
    say(f"first_token: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace, device: str = "cpu", config: Qwen2VLConfig | None = None) -> Result:
    target = torch.device(device)
    config = config or (SMALL if options.small else Qwen2VLConfig.named("2b"))
    num_new = options.tokens or (4 if options.small else 32)
    grid = (1, 4, 6) if options.small else GRID
    prompt = image_prompt(config, grid, 3 if options.small else NUM_TEXT).to(target)
    limits = measured_limits(options.small, target)
    agreement = [check_fp32(shortened(config, depth=2, layers=2), prompt)]
    say(f"  agrees in fp32 ({agreement[0]['largest_relative_difference']:.1e}); building the model in bf16")
    model = random_model(config, torch.bfloat16, target)
    ours, theirs = Ours(model, prompt, num_new), Theirs(transformers_twin(model), model, prompt)
    agreement += check_bf16(ours, theirs, num_new)
    say(f"  agrees in bf16; timing {options.repeats} times each")
    first = interleave({"ours": ours.first_token, "theirs": theirs.first_token}, options.repeats, target)
    decode = interleave(
        {"ours": lambda: ours.decode(num_new), "theirs": lambda: theirs.decode(num_new)}, options.repeats, target
    )
    settings = {
        "prompt_tokens": prompt.num_tokens, "image_tokens": grid[1] * grid[2] // 4, "decoded_tokens": num_new,
        "blocks": config.vision.depth, "layers": config.text.num_hidden_layers, "width": config.text.hidden_size,
        "vocabulary": config.text.vocab_size, "dtype": "bf16", "attention": "SDPA", "repeats": options.repeats,
        "device": device,
    }  # fmt: skip
    if options.profile:
        runs: dict[str, Callable[[], object]] = {
            "ours, first token": ours.first_token, "transformers, first token": theirs.first_token,
            "ours, decoding": lambda: ours.decode(2), "transformers, decoding": lambda: theirs.decode(2),
        }  # fmt: skip
        settings["profile"] = {name: costliest(run) for name, run in runs.items()}
    return Result(
        name="first_token",
        title=f"First token and decoding at the {'small' if options.small else '2B'} shape, random weights, bf16",
        settings=settings,
        agreement={"checks": agreement},
        comparisons=compare(config, grid, prompt.num_tokens, num_new, first, decode, limits),
        limits=limits,
    )


class Ours:
    """Our model with one prompt."""

    def __init__(self, model: Qwen2VL, prompt: ModelInputs, num_new: int) -> None:
        self.model, self.prompt, self.capacity = model, prompt, prompt.num_tokens + num_new
        self.cache = self.new_cache()

    def new_cache(self) -> KVCache:
        return KVCache(self.model.config.text, 1, self.capacity, device=self.model.device, dtype=self.model.dtype)

    @torch.inference_mode()
    def first_token(self) -> Tensor:
        """Logits [V] after the prompt, with a fresh cache."""
        self.cache = self.new_cache()
        last = torch.tensor([self.prompt.num_tokens - 1], device=self.model.device)
        logits = self.model(self.prompt, cache=self.cache, rows=last).logits[0]
        self.token = int(logits.argmax())
        return logits

    @torch.inference_mode()
    def decode(self, num_new: int) -> list[int]:
        """Greedy tokens after the first one; the cache is cut to the prompt before."""
        self.cache.truncate(0, self.prompt.num_tokens)
        token, position, chosen = self.token, int(self.prompt.positions.max()) + 1, []
        for step in range(num_new):
            token = int(self.model(self.row(token, position + step), cache=self.cache).logits[0].argmax())
            chosen.append(token)
        return chosen

    def row(self, token: int, position: int) -> ModelInputs:
        """Model inputs of one decoded token."""
        row = ModelInputs(
            ids=torch.tensor([token]),
            positions=torch.full((3, 1), position),
            segments=torch.tensor([0, 1], dtype=torch.int32),
            patches=torch.zeros(0, self.model.config.vision.patch_dim, dtype=torch.uint8),
            grids=torch.zeros(0, 3, dtype=torch.int64),
        )
        return row.to(self.model.device)


class Theirs:
    """transformers' model with the same prompt."""

    def __init__(self, twin: Any, model: Qwen2VL, prompt: ModelInputs) -> None:
        self.twin, self.length, self.device = twin, prompt.num_tokens, model.device
        is_image = prompt.ids == model.config.tokens.image_pad
        self.inputs = {
            "input_ids": prompt.ids[None],
            "pixel_values": normalised(model, prompt.patches),
            "image_grid_thw": prompt.grids.to(model.device),
            "mm_token_type_ids": is_image.int()[None],
        }
        self.cache: Any = None
        # Renamed in transformers 5.24, which warns about the old name.
        named = "cache" in inspect.signature(twin.forward).parameters
        self.cache_name = "cache" if named else "past_key_values"

    def run(self, **inputs: Any) -> Any:
        return self.twin(**inputs, **{self.cache_name: self.cache}, use_cache=True)

    @torch.inference_mode()
    def first_token(self) -> Tensor:
        from transformers import DynamicCache  # an optional package

        self.cache = DynamicCache(config=self.twin.config.text_config)
        # Only the logits of the last row, as generate() asks for: the fastest way.
        output = self.run(**self.inputs, logits_to_keep=1)
        self.token = int(output.logits[0, -1].argmax())
        return output.logits[0, -1]

    @torch.inference_mode()
    def decode(self, num_new: int) -> list[int]:
        excess = self.cache.get_seq_length() - self.length
        if excess:
            self.cache.crop(-excess)
        token, chosen = self.token, []
        for _ in range(num_new):
            ids = torch.tensor([[token]], device=self.device)
            logits = self.run(input_ids=ids).logits
            token = int(logits[0, -1].argmax())
            chosen.append(token)
        return chosen


def check_fp32(config: Qwen2VLConfig, prompt: ModelInputs) -> dict[str, Any]:
    """Compare strictly: full widths, two blocks and two layers, fp32. Raises Disagreement."""
    model = random_model(config, torch.float32, prompt.ids.device)
    ours, theirs = Ours(model, prompt, 1), Theirs(transformers_twin(model), model, prompt)
    return check_exact("logits of two blocks and two layers in fp32", ours.first_token(), theirs.first_token())


def check_bf16(ours: Ours, theirs: Theirs, num_new: int) -> list[dict[str, Any]]:
    """Compare the timed models after the prompt and while decoding. Warms both up. Raises Disagreement."""
    checks = [check_top("logits after the prompt, bf16", ours.first_token(), theirs.first_token())]
    theirs.token = ours.token  # after a tie both continue with the same token
    chosen = ours.decode(num_new), theirs.decode(num_new)
    equal = next((i for i, (a, b) in enumerate(zip(*chosen, strict=True)) if a != b), num_new)
    checks.append({"what": "greedy tokens that are equal before rounding parts them", "equal": equal, "of": num_new})
    keys = ours.cache.keys[-1][: theirs.length], theirs.cache.layers[-1].keys[0, :, : theirs.length].transpose(0, 1)
    checks.append(check_rounded("keys of the last layer over the prompt, bf16", *keys))
    return checks


def measured_limits(small: bool, device: torch.device) -> dict[str, float]:
    """GEMM rates and memory bandwidth of a device."""
    size = 64 if small else 1536 if device.type == "cpu" else 4096
    num_bytes = 2**22 if small else 2**29 if device.type == "cpu" else 2**32
    return {
        "gemm_gflops_bf16": gemm_rate(torch.bfloat16, size, device) / 1e9,
        "gemm_gflops_fp32": gemm_rate(torch.float32, size, device) / 1e9,
        "read_gb_per_s": bandwidth(num_bytes, device) / 1e9,
    }


def bytes_per_token(config: Qwen2VLConfig, context: int) -> int:
    """Bytes read for one decoded token in bf16: all decoder weights, the head, and the keys and values so far."""
    text = config.text
    kv = text.num_key_value_heads * text.head_dim
    layer = 2 * text.hidden_size * (text.hidden_size + kv) + 3 * text.hidden_size * text.intermediate_size
    weights = text.num_hidden_layers * layer + text.vocab_size * text.hidden_size
    return 2 * weights + context * kv_bytes_per_token(config)


def compare(
    config: Qwen2VLConfig,
    grid: tuple[int, int, int],
    num_prompt: int,
    num_new: int,
    first: dict[str, list[float]],
    decode: dict[str, list[float]],
    limits: dict[str, float],
) -> list[Comparison]:
    flops = tower_flops(config.vision, grid) + decoder_flops(config, num_prompt)
    read = bytes_per_token(config, num_prompt + num_new // 2)
    rates = {side: [num_new / seconds for seconds in times] for side, times in decode.items()}
    gemm, memory = limits["gemm_gflops_bf16"] * 1e9, limits["read_gb_per_s"] * 1e9
    return [
        Comparison(
            what=f"First token, {grid[1] * grid[2] // 4}-token image, prompt of {num_prompt}",
            unit="s",
            **first,
            floor=1.2,
            aim=1.6,
            limit="GEMM rate",
            our_share=flops / median(first["ours"]) / gemm,
            their_share=flops / median(first["theirs"]) / gemm,
        ),
        Comparison(
            what=f"Decoding, {num_new} tokens",
            unit="tokens/s",
            better="higher",
            **rates,
            floor=1.0,
            aim=1.2,
            limit="memory bandwidth",
            our_share=median(rates["ours"]) * read / memory,
            their_share=median(rates["theirs"]) * read / memory,
        ),
    ]


if __name__ == "__main__":
    run_script(main)
