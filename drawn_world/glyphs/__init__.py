"""Images of a colour emoji font."""
