"""Images of simple shapes: names, counts, relations, places; and comparisons of two or three images."""
