"""Side by side with transformers: same weights, same inputs, one run, agreement first.

    python -m benchmarks.run        all of it, then the tables (about 15 minutes on two quiet cores)
    python -m tools.tables     the tables of README and docs/benchmarks.md again, from `results/`

Each `bench_*.py` is one question and runs by itself too. `measuring` holds clocks and limits of the machine, `record`
what a result is, `peer` both models on one set of weights, `drawn` the images and the video, `records` the stores of
training records, `packers` other ways of packing them, `gpu/` the same on CUDA.
"""
