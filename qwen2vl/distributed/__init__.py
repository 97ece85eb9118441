"""Training by several processes as if they were one; applied from outside, so the model's code does not know about it."""
