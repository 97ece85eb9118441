"""The small model: the drawn world it learns from, its training and its shipped checkpoint."""
