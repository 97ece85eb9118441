"""Several processes as one: applied from outside, the model knows nothing of it."""
