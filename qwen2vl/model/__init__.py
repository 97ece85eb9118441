"""The network, on one device. Parallelism is applied from outside, and text and media belong to `processing`.

qwen2vl             the whole model: start here
vision, language    the tower and the decoder
rotary, attention   positions and attention, used by both
kv_cache            keys and values of past tokens
cpu_kernels         a switch of torch for decoding on a CPU
init                first weights of a new model
checkpoint, lora    weights and adapters in files
"""
