"""The whole Qwen2-VL: tokens of the tower replace the placeholders in the text, and one decoder runs over both.

    patches, grids --visual--> [V, H] --.
    ids --embed_tokens--> [T, H] --- placeholders overwritten --> layers --> norm --> head, for the requested rows only

Positions and segment boundaries are part of the inputs. Nothing is kept between calls, except in a cache.
Shape legend: T = tokens, H = decoder width, V = visual tokens, R = requested rows.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qwen2vl.model.attention import AttentionLayout
from qwen2vl.model.cpu_kernels import without_onednn
from qwen2vl.model.kv_cache import KVCache
from qwen2vl.model.language import Decoder
from qwen2vl.model.rotary import text_rotary
from qwen2vl.model.vision import VisionTower, needs_graph
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs

MAX_PATCHES_PER_RUN = 16384
"""In inference the tower runs over at most this many patches at once (4,096 tokens): a long video needs no more memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Result of a forward pass."""

    logits: Tensor
    """float32 [R, vocabulary]."""
    hidden: Tensor
    """[T, H], after the final norm."""


class Qwen2VL(nn.Module):
    """A single-device module. Built under `torch.device("meta")` it has shapes but needs no memory."""

    def __init__(self, config: Qwen2VLConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTower(config.vision)
        self.model = Decoder(config.text)
        self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Make head and embedding one parameter if the config says so.

        Call this again after parameters were replaced, as on leaving the meta device: the two are separate then.
        """
        if self.config.text.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.norm.weight.dtype

    def forward(
        self,
        inputs: ModelInputs,
        *,
        cache: KVCache | None = None,
        sequences: Sequence[int] | None = None,
        rows: Tensor | None = None,
    ) -> Output:
        """Logits of one packed row.

        rows: int64 [R], the tokens whose logits are computed; None = all. With a cache, each document of the row
        continues one of its sequences: `sequences` names them in the order of the documents; None = all, in order.
        """
        hidden = self.hidden(inputs, cache=cache, sequences=sequences)
        return Output(logits=self.head(hidden if rows is None else hidden[rows]), hidden=hidden)

    def hidden(
        self, inputs: ModelInputs, *, cache: KVCache | None = None, sequences: Sequence[int] | None = None
    ) -> Tensor:
        """Decoder output after the final norm, [T, H]."""
        x_TH = self.embed(inputs)
        rope = text_rotary(inputs.positions, self.config.text)
        if cache is None:
            layout = AttentionLayout.packed(inputs.segments.tolist(), causal=True, device=x_TH.device)
            return self.model(x_TH, rope, layout)
        step = cache.extend(inputs.segments.diff().tolist(), sequences)
        with self.kernels_for(len(x_TH)):
            return self.model(x_TH, rope, step.layout, step)

    def embed(self, inputs: ModelInputs) -> Tensor:
        """Text embeddings, with the tower's tokens in place of the placeholders, [T, H]."""
        x_TH = self.model.embed_tokens(inputs.ids)
        if len(inputs.grids) == 0:
            return x_TH
        tokens = self.config.tokens
        is_visual = (inputs.ids == tokens.image_pad) | (inputs.ids == tokens.video_pad)
        with torch.set_grad_enabled(needs_graph(self.visual)):
            max_patches = None if torch.is_grad_enabled() else MAX_PATCHES_PER_RUN
            visual_VH = self.visual(inputs.patches, inputs.grids, max_patches)
        placeholders = is_visual.nonzero().squeeze(1)
        assert len(placeholders) == len(visual_VH), f"{len(placeholders)} placeholders, {len(visual_VH)} visual tokens"
        return x_TH.index_copy(0, placeholders, visual_VH.to(x_TH.dtype))

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden states [R, H] to float32 logits [R, vocabulary]: R * vocabulary * 4 bytes, so pass few rows."""
        with self.kernels_for(len(hidden)):
            return self.lm_head(hidden).float()

    def kernels_for(self, num_rows: int) -> AbstractContextManager[None]:
        """A block whose linear layers use the kernels that are fastest for this number of rows, see `cpu_kernels`."""
        one_row = num_rows == 1 and self.dtype == torch.bfloat16 and not torch.is_grad_enabled()
        return without_onednn() if one_row and self.device.type == "cpu" else nullcontext()
