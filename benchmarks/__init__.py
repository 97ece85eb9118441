"""Comparisons with peers: transformers, or another way of doing the same where transformers has none.

    python -m benchmarks.run     all of it, then the tables (about 23 minutes on two quiet cores)
    python -m tools.tables       the tables of README and docs/benchmarks.md again, from `results/`

Both sides have the same weights and the same inputs and run in turns; a script that finds a difference gives no times.
Each `bench_*.py` answers one question and also runs alone. `agreement` has the checks before timing, `peer` both models on
one set of weights, `synthetic_inputs` images and prompts, `photo_store` stores of conversations about photos, `other_packers` and
`padded_loop` the peers of packing and training, `mixed_size_runs` our own training runs, `gpu/` the same on CUDA.

Imports go one way: from here to `tools`, never to `experiments`. Figures without a peer, studies and probes are there.
"""
