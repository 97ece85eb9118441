"""Questions and instructions without an image, small talk, and questions that an image does not answer."""
