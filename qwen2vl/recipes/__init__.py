"""Complete configurations: the only place where model, data and training are joined."""
