"""Shapes on a ground: names, counts, relations, places; two and three pictures of them."""
