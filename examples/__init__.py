"""Images and a video that nano has never seen, and the demo that asks about them."""
