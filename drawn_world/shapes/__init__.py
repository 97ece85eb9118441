"""Shapes on a ground: names, counts, relations, places; two and three images of them."""
