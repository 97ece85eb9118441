"""Load a model from a checkpoint directory: choose device and precision, check the memory, match tensors, fill."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from qwen2vl.common.errors import CheckpointError, ConfigError
from qwen2vl.model.checkpoint.names import Entry, Match, match, tensor_table
from qwen2vl.model.checkpoint.tensor_files import StoredTensor, list_tensors
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions by the names that users give."""


def load_model(
    source: str | Path = "nano",
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    force_fp16: bool = False,
) -> Qwen2VL:
    """The packaged "nano", or the model of a checkpoint directory, in eval mode. Needs its config and tensors only.

    device: None = the GPU if there is one. dtype: "fp32", "bf16" or a torch.dtype; None = bf16 on a GPU and for models
    of a billion parameters or more, otherwise fp32; fp16 only with force_fp16. Needs memory for the model and one more
    tensor. Raises ConfigError, and CheckpointError when files or tensors do not fit or the device is too small.
    """
    return check_model(source, device, dtype, force_fp16).read()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadModel:
    """A model whose config and tensor headers have been checked, and whose tensors are still in their files."""

    model: Qwen2VL
    """The model, on the meta device until `read` fills it."""
    tensors: tuple[tuple[Entry, StoredTensor], ...]
    device: torch.device
    dtype: torch.dtype

    def read(self) -> Qwen2VL:
        """Fill the model. Raises CheckpointError when a file was damaged or removed after the check."""
        for entry, stored in self.tensors:
            tensor = stored.read().reshape(entry.shape).to(self.device, self.dtype, copy=True)
            owner, _, leaf = entry.name.rpartition(".")  # not load_state_dict: it walks the whole module on each call
            setattr(self.model.get_submodule(owner), leaf, nn.Parameter(tensor))
        self.model.tie()
        return self.model.eval()


def check_model(
    source: str | Path = "nano",
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    force_fp16: bool = False,
) -> UnreadModel:
    """Everything that `load_model` does before it reads tensors; takes the same arguments and raises the same errors."""
    config = Qwen2VLConfig.load(source)
    chosen_device = choose_device(device)
    precision = choose_dtype(dtype, config, chosen_device, force_fp16)
    refuse_too_large(config, precision, chosen_device)
    with torch.device("meta"):
        model = Qwen2VL(config)
    stored, found = find_tensors(model, resolve_source(source))
    tensors = tuple((entry, stored[name]) for entry, name in found.tensors)
    return UnreadModel(model=model, tensors=tensors, device=chosen_device, dtype=precision)


def find_tensors(model: Qwen2VL, directory: Path) -> tuple[dict[str, StoredTensor], Match]:
    """Tensors of a directory by name, and which parameter each one is. Accepts a model on meta.

    Raises CheckpointError unless they fit exactly; a head that is stored although it is tied must equal the embedding,
    because another one would give other answers.
    """
    stored = list_tensors(directory)
    found = match(tensor_table(model), {name: tensor.shape for name, tensor in stored.items()}, str(directory))
    if found.tied is not None:
        embedding, head = (stored[name] for name in found.tied)
        if embedding.shape != head.shape or not torch.equal(embedding.read(), head.read()):
            raise CheckpointError(
                f'"{head.file.parent}" holds a {head.name} that differs from {embedding.name} although config.json '
                "ties them: set tie_word_embeddings to false there to use it, or remove the tensor"
            )
    return stored, found


def choose_device(device: str | torch.device | None) -> torch.device:
    """The given device; None = the first GPU, or the CPU without one. Raises ConfigError if this machine lacks it."""
    num_gpus = torch.cuda.device_count()
    if device is None:
        return torch.device("cuda" if num_gpus else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f'device "{device}" is unknown: give "cpu", "cuda" or "cuda:0"') from error
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cuda" and (chosen.index or 0) >= num_gpus):
        raise ConfigError(f'device "{device}" cannot be used, this machine has the CPU and {num_gpus} CUDA devices')
    return chosen


def choose_dtype(
    dtype: str | torch.dtype | None, config: Qwen2VLConfig, device: torch.device, force_fp16: bool = False
) -> torch.dtype:
    """The given precision; None = the faster one. Raises ConfigError for unknown names, and for fp16 without force_fp16.

    A model of a billion parameters or more is as fast as its weights can be read, and bf16 halves their bytes (2B in
    fp32: 8.8 GB). Smaller ones lose little speed in fp32 on a CPU, and it is exact.
    """
    if dtype is None:
        is_large = num_parameters(config)["total"] >= 1_000_000_000
        return torch.bfloat16 if is_large or device.type == "cuda" else torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise ConfigError(f'dtype "{dtype}" is unknown: give "fp32" or "bf16"')
    if chosen == torch.float16 and not force_fp16:
        raise ConfigError(
            "dtype fp16 is refused: activations of this model pass 65,504, the largest fp16 number, and become NaN; "
            "use bf16 or fp32 (load_model forces it with force_fp16=True in Python)"
        )
    return chosen


def refuse_too_large(config: Qwen2VLConfig, dtype: torch.dtype, device: torch.device) -> None:
    """Raise CheckpointError if the weights need more memory than is free.

    Called before anything is read: a process that the system kills half an hour later gives no reason.
    """
    needed, free = num_parameters(config)["total"] * dtype.itemsize, free_bytes(device)
    if free is not None and needed > free:
        raise CheckpointError(
            f"the model needs {needed / 1e9:.2f} GB as {str(dtype).removeprefix('torch.')}, but {device} has "
            f"{free / 1e9:.2f} GB free: use a smaller model{', bf16' if dtype.itemsize > 2 else ''} or a larger device"
        )


def free_bytes(device: torch.device) -> int | None:
    """Memory that is available without swapping; None if the system does not report it (no /proc)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
