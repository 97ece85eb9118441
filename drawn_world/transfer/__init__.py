"""Transfer tasks of the exam: the drawn world's questions about images that other programs made."""
