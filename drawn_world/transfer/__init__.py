"""Transfer tasks of the exam: questions like those of the other rooms, about images that other programs drew."""
