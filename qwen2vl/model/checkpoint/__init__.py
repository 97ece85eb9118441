"""Weights on disk: reading and writing checkpoint directories in the hub layout [paper 1.7].

    directory --list_tensors (files)--> headers --match (names)--> parameters --fill (load)--> Qwen2VL
    Qwen2VL --tensor_table (names)--> layout --write_tensors (files)--> directory, whole or not at all (save)
    directory of a CLIP --load_clip_tower (clip)--> first values of the tower

Strict both ways: every tensor of the files is used once and every parameter is filled, or nothing is.
Tokenizer and media files belong to the processor, which is asked to write its own.
"""

from qwen2vl.model.checkpoint.clip import TowerReport, load_clip_tower
from qwen2vl.model.checkpoint.load import load_model
from qwen2vl.model.checkpoint.save import convert, save_checkpoint

__all__ = ["TowerReport", "convert", "load_clip_tower", "load_model", "save_checkpoint"]
