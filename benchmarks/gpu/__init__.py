"""The same questions on a CUDA device: one command, one result file.

    python -m benchmarks.gpu.run                     on a GPU, about 8 minutes, writes benchmarks/results/gpu.json
    python -m benchmarks.gpu.run --small --device cpu --out DIR      does it run, do all back-ends agree
    python -m experiments.micro_on_gpu --minutes 9       trains the recipe micro in pieces; the same command again goes on

Needs torch with CUDA; transformers for the comparisons, which are left out and named where it is absent.
"""
