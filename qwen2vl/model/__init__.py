"""The network, as a single-device module: no parallelism, no files (see `checkpoint/`), no text.

Read a forward pass in this order: `qwen2vl`, `vision`, `language`, `attention`, `rotary`, `cache`.
"""
