"""From a checkpoint directory to a model: which device, which precision, does it fit, fill."""

from pathlib import Path

import torch
from torch import Tensor, nn

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint.names import Match, match, tensor_table
from qwen2vl.model.checkpoint.tensor_files import StoredTensor, list_tensors, read_tensor
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions by the names that users give."""

LARGE = 1_000_000_000
"""Parameters from which a CPU gets bf16: such a model is bound by reading its weights, which are twice as
many bytes in fp32 (2B: 8.8 GB). Below it fp32 costs little and is exact."""


def load_model(
    source: str | Path = "nano",
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    force_fp16: bool = False,
) -> Qwen2VL:
    """The packaged "nano" or the model of a checkpoint directory, in eval mode. Needs its config and tensors only.

    device: None = the GPU if there is one. dtype: "fp32", "bf16" or a torch.dtype; None = bf16 on a GPU and for models
    of over a billion parameters, fp32 otherwise; fp16 only with force_fp16. Never needs more than the model and one
    tensor besides. Raises ConfigError, and CheckpointError when files or tensors do not fit or the device is too small.
    """
    config = Qwen2VLConfig.load(source)
    place = choose_device(device)
    precision = choose_dtype(dtype, config, place, force_fp16)
    refuse_too_large(config, precision, place)
    with torch.device("meta"):
        model = Qwen2VL(config)
    stored, found = find_tensors(model, resolve_source(source))
    for entry, name in found.tensors:
        fill(model, entry.name, read_tensor(stored[name]).reshape(entry.shape).to(place, precision, copy=True))
    model.tie()
    return model.eval()


def find_tensors(model: Qwen2VL, directory: Path) -> tuple[dict[str, StoredTensor], Match]:
    """Tensors of a directory and which parameter each one is. Raises CheckpointError unless they fit exactly."""
    stored = list_tensors(directory)
    found = match(tensor_table(model), {name: tensor.shape for name, tensor in stored.items()}, str(directory))
    if found.tied is not None:
        refuse_untied(*(stored[name] for name in found.tied))
    return stored, found


def refuse_untied(embedding: StoredTensor, head: StoredTensor) -> None:
    """A head that is stored although it is tied must be a copy: another one would give other answers."""
    if embedding.shape != head.shape or not torch.equal(read_tensor(embedding), read_tensor(head)):
        raise CheckpointError(
            f'"{head.file.parent}" holds a {head.name} that differs from {embedding.name} although config.json ties '
            "them: set tie_word_embeddings to false there to use it, or remove the tensor"
        )


def fill(model: Qwen2VL, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter. (`load_state_dict` walks the whole module for each call.)"""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor))


def choose_device(device: str | torch.device | None) -> torch.device:
    """Raises ConfigError for a device that is not here."""
    num_gpus = torch.cuda.device_count()
    if device is None:
        return torch.device("cuda" if num_gpus else "cpu")
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f'device "{device}" is unknown: give "cpu", "cuda" or "cuda:0"') from error
    if place.type not in ("cpu", "cuda") or (place.type == "cuda" and (place.index or 0) >= num_gpus):
        raise ConfigError(f'device "{device}" cannot be used, this machine has the CPU and {num_gpus} CUDA devices')
    return place


def choose_dtype(
    dtype: str | torch.dtype | None, config: Qwen2VLConfig, device: torch.device, force_fp16: bool = False
) -> torch.dtype:
    """Raises ConfigError for unknown names, and for fp16 unless it is forced."""
    if dtype is None:
        large = num_parameters(config)["total"] >= LARGE
        return torch.bfloat16 if large or device.type == "cuda" else torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise ConfigError(f'dtype "{dtype}" is unknown: give "fp32" or "bf16"')
    if chosen == torch.float16 and not force_fp16:
        raise ConfigError(
            "dtype fp16 is refused: activations of this model pass 65,504, the largest fp16 number, and become NaN; "
            "use bf16 or fp32, or force it with force_fp16=True"
        )
    return chosen


def refuse_too_large(config: Qwen2VLConfig, dtype: torch.dtype, device: torch.device) -> None:
    """Before anything is read: a process that is killed half an hour later says nothing."""
    needed, free = num_parameters(config)["total"] * dtype.itemsize, free_bytes(device)
    if free is not None and needed > free:
        raise CheckpointError(
            f"the model needs {needed / 1e9:.2f} GB as {str(dtype).removeprefix('torch.')}, but {device} has "
            f"{free / 1e9:.2f} GB free: use a smaller model{', bf16' if dtype.itemsize > 2 else ''} or a larger device"
        )


def free_bytes(device: torch.device) -> int | None:
    """Memory that can be had without swapping; None where the system does not say (no /proc)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
