"""From messages with images and videos to what the model eats, and from its text back to boxes.

`sources` opens images, `images` turns pixels into patches, `video` chooses and decodes frames; all three know numpy
and no torch. Sizes, grids and limits come from `qwen2vl.spec.resize` and `media_settings` and are decided nowhere else.
"""
