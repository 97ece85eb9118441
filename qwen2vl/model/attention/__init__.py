"""Attention over packed rows: one function, `attend`, and the layout that says which rows see each other.

layout      segments of a row, gathered into buckets: made once per forward pass, shared by all layers
backends    `attend`, which chooses a back-end, and the back-end for any device: one call per bucket
packed_training  packed rows with gradients on a CPU, one operation with a backward pass of its own
cuda        one call for the whole row, where a GPU can do that
reference   the definition, which every back-end is tested against
"""

from qwen2vl.model.attention.backends import attend
from qwen2vl.model.attention.layout import AttentionLayout, Segment

__all__ = ["AttentionLayout", "Segment", "attend"]
