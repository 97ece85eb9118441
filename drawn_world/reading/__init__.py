"""Words, lines and paragraphs to be read, in many hands and damages."""
