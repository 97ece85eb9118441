"""Bar, line and pie charts, drawn by this package."""
