"""Qwen2 decoder over one packed row: grouped-query attention, biases on q, k, v, SwiGLU, RMSNorm [paper 3.1].

Module and parameter names are those of the published checkpoints.
Shape legend: T = tokens, H = width, N = query heads, M = key/value heads, K = head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qwen2vl.model.attention import AttentionPlan, attend
from qwen2vl.model.kv_cache import CacheStep, KVCache
from qwen2vl.model.layers import GatedMLP, RMSNorm
from qwen2vl.model.rotary import RotaryTable, rotate
from qwen2vl.spec.config import TextConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What all layers share in one forward: rotary table, who sees whom, and the cache if there is one."""

    rope: RotaryTable
    plan: AttentionPlan
    cache: KVCache | None = None
    step: CacheStep | None = None


class SelfAttention(nn.Module):
    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        kv_dim = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, kv_dim)
        self.v_proj = nn.Linear(config.hidden_size, kv_dim)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x_TH: Tensor, layout: Layout) -> Tensor:
        q_TNK = rotate(self.q_proj(x_TH).unflatten(1, (-1, self.head_dim)), layout.rope)
        k_TMK = rotate(self.k_proj(x_TH).unflatten(1, (-1, self.head_dim)), layout.rope)
        v_TMK = self.v_proj(x_TH).unflatten(1, (-1, self.head_dim))
        return self.o_proj(self.mix(q_TNK, k_TMK, v_TMK, layout).flatten(1))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def mix(self, q_TNK: Tensor, k_TMK: Tensor, v_TMK: Tensor, layout: Layout) -> Tensor:
        """Attention, over the cache if there is one. Out of compiled graphs, which would be one per layer number."""
        if layout.cache is not None and layout.step is not None:
            k_TMK, v_TMK = layout.cache.write(self.layer, layout.step, k_TMK, v_TMK)
        return attend(q_TNK, k_TMK, v_TMK, layout.plan)


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)

    def forward(self, x_TH: Tensor, layout: Layout) -> Tensor:
        x_TH = x_TH + self.self_attn(self.input_layernorm(x_TH), layout)
        return x_TH + self.mlp(self.post_attention_layernorm(x_TH))


class Decoder(nn.Module):
    """Embedding, layers and final norm; the head belongs to the whole model, because it may be tied."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x_TH: Tensor, layout: Layout) -> Tensor:
        for layer in self.layers:
            x_TH = layer(x_TH, layout)
        return self.norm(x_TH)
