"""Windows with controls, drawn by this package or as HTML by a browser, and actions on them."""
