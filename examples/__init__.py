"""Pictures and a film that nano has never seen, and the demo that asks about them."""
