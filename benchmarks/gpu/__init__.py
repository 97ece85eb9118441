"""The same questions on a CUDA device: one command, one result file.

    python -m benchmarks.gpu.run                                  on a GPU, about 8 minutes; writes benchmarks/results/gpu.json
    python -m benchmarks.gpu.run --small --device cpu --out DIR   does it run, do all back-ends agree

Needs torch with CUDA. Comparisons with transformers are left out where it is not installed.
"""
