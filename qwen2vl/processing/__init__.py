"""From messages with images and videos to the inputs of the model, and from its text back to boxes.

`sources` opens images, `images` turns pixels into patches, `video` chooses and decodes frames; all three use numpy
and not torch. Sizes, grids and limits come from `qwen2vl.spec.resize` and `media_settings` only.
"""
