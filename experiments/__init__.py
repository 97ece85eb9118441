"""Studies, score curves and probes: figures about nano and this code base without a peer.

`studies` repeats ablations of the paper at nano's size (`study_recipes`, `study_items`), `score_curve` plots exam scores over
the work of training, `which_is_meant` counts whose box an answer gives, `micro_on_gpu` trains the recipe `micro` in pieces,
`plain_pictures` asks about plain pictures that another renderer draws, in people's words, `drawing_speed` and `long_video`
measure what docs/benchmarks.md shows without a peer.

Imports go one way: from here to `tools`, never to `benchmarks`.
"""
