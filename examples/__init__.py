"""Held-out images and videos, which nano has never seen, and the demo that asks about them."""
