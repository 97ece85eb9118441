"""Tiny Qwen2-VL models made by transformers, with random weights everywhere, in both namings that we read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

VOCAB = 600
TOKENS = {
    "bos_token_id": 580,
    "eos_token_id": 582,
    "vision_start_token_id": 589,
    "vision_end_token_id": 590,
    "vision_token_id": 591,
    "image_token_id": 592,
    "video_token_id": 593,
}
RENAMED = (("model.visual.", "visual."), ("model.language_model.", "model."))


def tiny_config(tied: bool) -> Any:
    transformers = pytest.importorskip("transformers", minversion="5.23", reason="parity needs transformers 5.23")
    return transformers.Qwen2VLConfig(
        text_config={
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": VOCAB,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 1024,
            "bos_token_id": TOKENS["bos_token_id"],
            "eos_token_id": TOKENS["eos_token_id"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 64},
        tie_word_embeddings=tied,
        **{name: value for name, value in TOKENS.items() if name.startswith(("vision", "image", "video"))},
    )


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every weight random values: with the usual ones in norms and zeros in biases, errors could be hidden."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.1 + (1.0 if "norm" in name or "ln_q.weight" in name else 0.0))


@pytest.fixture(scope="session")
def make_theirs() -> Callable[[bool], Any]:
    """transformers' model, tied or untied. It is imported here because a file of fixtures cannot be skipped."""
    transformers = pytest.importorskip("transformers", minversion="5.23", reason="parity needs transformers 5.23")

    def make(tied: bool) -> Any:
        model = transformers.Qwen2VLForConditionalGeneration(tiny_config(tied))
        randomise(model, seed=1)
        model.tie_weights()
        return model.eval()

    return make


@pytest.fixture(scope="session")
def checkpoints(
    make_theirs: Callable[[bool], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[bool, str], Path]:
    """Directory of the tied or untied model in the "newer" or the "original" naming, written by transformers."""
    folder = tmp_path_factory.mktemp("parity")

    def checkpoint(tied: bool, naming: str) -> Path:
        directory = folder / f"{'tied' if tied else 'untied'}-{naming}"
        if not directory.exists():
            make_theirs(tied).save_pretrained(directory, save_original_format=naming == "original")
            rename(directory / "model.safetensors", naming)
        return directory

    return checkpoint


def rename(path: Path, naming: str) -> None:
    """Rename the tensors of a file to one naming: which one transformers writes depends on its version."""
    tensors = {}
    for name, value in load_file(path).items():
        for newer, original in RENAMED:
            if naming == "original" and name.startswith(newer):
                name = original + name.removeprefix(newer)
            elif naming == "newer" and name.startswith(original) and not name.startswith(tuple(n for n, _ in RENAMED)):
                name = newer + name.removeprefix(original)
        tensors[name] = value
    save_file(tensors, path, metadata={"format": "pt"})
