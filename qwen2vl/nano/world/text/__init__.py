"""Questions and instructions without a picture."""
