"""Short videos of shapes, and one long one."""
