"""The usual loop with transformers: padded micro-batches of a few samples, accumulated gradients, one AdamW step.

It is made as fast as possible: patches are cut and normalised beforehand, batches are padded beforehand, positions are given (the
model would compute them sample by sample), no cache, fused AdamW. The loss is divided by the supervised tokens of the whole step, as
its Trainer does.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.peer import normalised, transformers_twin
from qwen2vl.data.loader import StepData
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.tokens import IGNORED
from qwen2vl.training.train_config import Stage, TrainConfig

Batch = dict[str, Tensor]


def samples_of(reader: SampleReader, step: StepData) -> list[ModelInputs]:
    """The samples of a step as single documents, in the order of its packs."""
    rows = [document.row for pack in step.packs for document in pack.documents]
    return [reader.pack(PackRequest(step=step.step, rows=(row,))).inputs for row in rows]


def padded_batches(model: Qwen2VL, samples: Sequence[ModelInputs], size: int, grouped: bool = False) -> list[Batch]:
    """Micro-batches of `size` samples, padded on the right to the longest; grouped = samples sorted by length."""
    if grouped:
        samples = sorted(samples, key=lambda sample: sample.num_tokens)
    return [padded(model, samples[first : first + size]) for first in range(0, len(samples), size)]


def padded(model: Qwen2VL, samples: Sequence[ModelInputs]) -> Batch:
    """One micro-batch in the form that transformers' model takes."""
    batch = {
        "input_ids": pad_sequence([sample.ids for sample in samples], batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(sample.ids) for sample in samples], batch_first=True),
        "position_ids": pad_sequence([sample.positions.T for sample in samples], batch_first=True).permute(2, 0, 1),
        "labels": pad_sequence([labels_of(s) for s in samples], batch_first=True, padding_value=IGNORED),
    }
    media = [one for sample in samples for one in media_of(model.config, sample)]
    for is_video, (patches, grids) in enumerate(
        (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw"))
    ):
        chosen = [(pixels, grid) for kind, pixels, grid in media if kind == is_video]
        if chosen:
            batch[patches] = normalised(model, torch.cat([pixels for pixels, _ in chosen]))
            batch[grids] = torch.stack([grid for _, grid in chosen])
    return batch


def labels_of(sample: ModelInputs) -> Tensor:
    assert sample.labels is not None
    return sample.labels


def media_of(config: Qwen2VLConfig, sample: ModelInputs) -> Iterator[tuple[bool, Tensor, Tensor]]:
    """(is a video, patches, grid) of every image and video of one sample, in textual order."""
    if not len(sample.grids):
        return
    begins = (sample.ids == config.tokens.vision_start).nonzero().squeeze(1)
    kinds = (sample.ids[begins + 1] == config.tokens.video_pad).tolist()
    yield from zip(kinds, sample.patches.split(sample.grids.prod(1).tolist()), sample.grids, strict=True)


def share_of_padding(batches: Sequence[Batch]) -> float:
    """Share of padding in the tokens that the decoder runs over."""
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    return 1 - real / sum(batch["attention_mask"].numel() for batch in batches)


class PaddedLoop:
    """transformers' model with our weights, an optimizer with our settings, and the loop."""

    def __init__(self, model: Qwen2VL, stage: Stage, config: TrainConfig) -> None:
        """Copy the model: training one side does not change the other."""
        self.twin = transformers_twin(copy.deepcopy(model)).train()
        self.stage, self.config = stage, config
        decayed, left = [], []
        for name, parameter in self.twin.named_parameters():
            matrix = parameter.ndim > 1 and "embed_tokens" not in name  # the patch embedding is a convolution there
            (decayed if matrix else left).append(parameter)
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": left, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=0.0, betas=config.betas, fused=True)

    def train(self, step: int, batches: Sequence[Batch]) -> float:
        """One optimizer step over the micro-batches of its samples; returns its loss."""
        supervised = sum((batch["labels"] != IGNORED).sum() for batch in batches)
        total = torch.zeros(())
        for batch in batches:
            loss = self.twin(**batch, num_items_in_batch=supervised, use_cache=False).loss
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.twin.parameters(), self.config.clip_norm)
        for group in self.adamw.param_groups:
            group["lr"] = self.stage.learning_rates(step)["decoder"]
        self.adamw.step()
        self.adamw.zero_grad()
        return float(total)
