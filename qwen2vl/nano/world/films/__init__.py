"""Short films of shapes, and one long one."""
