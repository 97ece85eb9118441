"""Bar, line and pie charts by our own renderer."""
