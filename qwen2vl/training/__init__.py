"""Training: one loop that turns a function (step -> packed row) into weights, and can be stopped anywhere.

Read `loop` for the step, `state` for what a run keeps on disk, `loss` for what is minimised.
"""
