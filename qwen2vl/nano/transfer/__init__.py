"""Transfer tasks of the exam: the drawn world's questions about pictures that other programs made."""
