"""Training: one loop for all recipes, which can stop and resume at any step.

Read `loop` for the step, `run_state` for what a run saves and restores, `loss` for what is minimised, `run_directory` for the
files of a run, and `run` for how a recipe becomes a run.
"""
