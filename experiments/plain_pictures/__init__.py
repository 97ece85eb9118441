"""A test set of plain pictures: everyday shapes, drawn as no other part of this project draws, asked about in people's words.

It says how a model does outside the images and questions it was trained on, so nothing here may serve training, and nothing
here uses the drawn world.

    outlines  shapes as signed distances   -> painting  anti-aliased pixels of shapes on a ground
    wordings.toml  what people type        -> asking    200 items with their truths, from a seed
    scoring   lenient reading of answers, scores by kind with their intervals
    __main__  the command that scores a model, or writes the set to an archive

`digest.json` has the SHA-256 of the set as it was before any training that it judges; a test draws the set again.
"""
