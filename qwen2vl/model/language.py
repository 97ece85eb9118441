"""Qwen2 decoder over one packed row: grouped-query attention, biases on q, k, v, SwiGLU, RMSNorm [paper 3.1].

Module and parameter names are those of the published checkpoints.
Shape legend: T = tokens, H = width, N = query heads, M = key/value heads, K = head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl.model.attention import AttentionLayout, attend
from qwen2vl.model.kv_cache import CacheStep
from qwen2vl.model.rotary import RotaryTable, rotate
from qwen2vl.spec.config import TextConfig


class RMSNorm(nn.Module):
    """x / root mean square of x, times a weight. Statistics in float32; the weight is applied after rounding back."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_TH: Tensor) -> Tensor:
        wide = x_TH.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x_TH.dtype)


class GatedMLP(nn.Module):
    """SwiGLU without biases: down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x_TH: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.down_proj(F.silu(self.gate_proj(x_TH)) * self.up_proj(x_TH))
        return self.down_proj(F.silu(self.gate_proj(x_TH), inplace=True).mul_(self.up_proj(x_TH)))


class SelfAttention(nn.Module):
    """Attention over the row, or over the cache: M key heads are shared by N query heads."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        kv_dim = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, kv_dim)
        self.v_proj = nn.Linear(config.hidden_size, kv_dim)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x_TH: Tensor, rope: RotaryTable, layout: AttentionLayout, step: CacheStep | None) -> Tensor:
        q_TNK = rotate(self.q_proj(x_TH).unflatten(1, (-1, self.head_dim)), rope)
        k_TMK = rotate(self.k_proj(x_TH).unflatten(1, (-1, self.head_dim)), rope)
        v_TMK = self.v_proj(x_TH).unflatten(1, (-1, self.head_dim))
        if step is not None:
            k_TMK, v_TMK = self.write(step, k_TMK, v_TMK)
        mixed_TNK = attend(q_TNK, k_TMK, v_TMK, layout)
        return self.o_proj(mixed_TNK.flatten(1))

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # compiled, each layer number would be a graph of its own
    def write(self, step: CacheStep, k_TMK: Tensor, v_TMK: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values; return those of all tokens so far."""
        return step.write(self.layer, k_TMK, v_TMK)


class DecoderLayer(nn.Module):
    """Attention, then MLP, each after a norm and added to its input."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)

    def forward(self, x_TH: Tensor, rope: RotaryTable, layout: AttentionLayout, step: CacheStep | None) -> Tensor:
        x_TH = x_TH + self.self_attn(self.input_layernorm(x_TH), rope, layout, step)
        return x_TH + self.mlp(self.post_attention_layernorm(x_TH))


class Decoder(nn.Module):
    """Embedding, layers and final norm. The head belongs to the whole model, because it may be the embedding."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, x_TH: Tensor, rope: RotaryTable, layout: AttentionLayout, step: CacheStep | None = None
    ) -> Tensor:
        """Embedded tokens to hidden states after the final norm, [T, H]; with a step, over what its cache holds."""
        for layer in self.layers:
            x_TH = layer(x_TH, rope, layout, step)
        return self.norm(x_TH)
