"""Pictures of a colour emoji font."""
