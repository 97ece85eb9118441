"""Questions and instructions without an image."""
