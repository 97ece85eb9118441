"""Words, lines and paragraphs to read, in many fonts and with damage."""
