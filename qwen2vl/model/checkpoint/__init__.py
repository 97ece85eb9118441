"""Weights in files: reading and writing checkpoint directories in the hub layout [paper 1.7].

    directory --list_tensors (tensor_files)--> headers --match (names)--> parameters --load_model (load)--> Qwen2VL
    Qwen2VL --tensor_table (names)--> names and shapes --write_tensors (tensor_files)--> directory, whole or not at all (save)
    directory of a CLIP --load_clip_tower (clip)--> first weights of the tower

Strict in both directions: every tensor of the files is used once and every parameter is filled, or the directory is
refused. Tokenizer and media files belong to the processor, which writes its own.
"""

from qwen2vl.model.checkpoint.clip import TowerReport, load_clip_tower
from qwen2vl.model.checkpoint.load import load_model
from qwen2vl.model.checkpoint.save import convert, save_checkpoint

__all__ = ["TowerReport", "convert", "load_clip_tower", "load_model", "save_checkpoint"]
