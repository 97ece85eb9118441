"""Windows with controls, by our own renderer and as HTML, and the actions on them."""
