"""Sizes of images and videos: the resize rule and the frame rules [paper 4.1, 4.4, 4.5]. Their costs are in `costs`."""

import math

from qwen2vl.common.errors import ConfigError, MediaError
from qwen2vl.spec.config import FACTOR
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings

MAX_RATIO = 200
"""Largest ratio of the long side of an image to its short side."""


def smart_resize(
    height: int, width: int, factor: int = FACTOR, min_pixels: int = 4 * FACTOR**2, max_pixels: int = 16384 * FACTOR**2
) -> tuple[int, int]:
    """Height and width of the image that the model sees: multiples of `factor` within the pixel limits [paper 4.1].

    480x640 becomes 476x644; 1080x1920 becomes 1092x1932; a 20x20 icon is enlarged to 56x56. No side is shorter than `factor`.
    Raises MediaError when one side is over 200 times as long as the other, or zero.
    """
    if min(height, width) < 1:
        raise MediaError(f"an image of {width}x{height} pixels has no area: width and height must be at least 1")
    if max(height, width) / min(height, width) > MAX_RATIO:
        raise MediaError(
            f"an image of {width}x{height} pixels has sides in a ratio over {MAX_RATIO}: crop it or stack its parts"
        )
    tall = max(factor, round(height / factor) * factor)
    wide = max(factor, round(width / factor) * factor)
    if tall * wide > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        tall = max(factor, math.floor(height / beta / factor) * factor)
        wide = max(factor, math.floor(width / beta / factor) * factor)
    elif tall * wide < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        tall = math.ceil(height * beta / factor) * factor
        wide = math.ceil(width * beta / factor) * factor
    return tall, wide


def image_size(
    height: int, width: int, settings: MediaSettings, options: MediaOptions | None = None
) -> tuple[int, int]:
    """Height and width of one image after resizing; limits in `options` replace those of the settings, except `fit_tokens`.

    Raises MediaError when limits of `options` contradict each other.
    """
    options = options or MediaOptions()
    try:
        limits = settings.with_limits(options.min_pixels, options.max_pixels)
    except ConfigError as error:
        raise MediaError(str(error)) from error
    if options.resized_height is not None and options.resized_width is not None:
        height, width = options.resized_height, options.resized_width
    high = min(limits.max_pixels, (settings.fit_tokens or limits.max_pixels) * FACTOR**2)
    return smart_resize(height, width, FACTOR, min(limits.min_pixels, high), high)


def choose_num_frames(total: int, seconds: float, settings: MediaSettings, options: MediaOptions | None = None) -> int:
    """Number of frames that are taken from a video of `total` frames in `seconds`: even, at least 2 [paper 4.4].

    The number is nframes, or seconds * wanted fps, at least min_frames and at most max_frames. It is never over the frames of
    the video, rounded up to even: of 3 frames 4 are taken, the last one twice. Raises MediaError when nframes is under 2.
    """
    options = options or MediaOptions()
    most = max(2, total + total % 2)
    if options.nframes is not None:
        count = round(options.nframes / 2) * 2
        if count < 2:
            raise MediaError(f"nframes {options.nframes} is too few: a video needs at least 2 frames")
        return min(count, most)
    wanted = settings.fps if options.fps is None else options.fps
    if not wanted > 0:
        raise MediaError(f"fps {wanted} is too low: it must be over 0")
    low = math.ceil((options.min_frames or settings.min_frames) / 2) * 2
    high = min(math.floor((options.max_frames or settings.max_frames) / 2) * 2, most)
    count = int(min(max(round(seconds * wanted, 6), low), high))  # rounded: 3.3 - 1.3 is not quite 2
    return max(2, count // 2 * 2)


def frame_size(
    height: int, width: int, num_frames: int, settings: MediaSettings, options: MediaOptions | None = None
) -> tuple[int, int]:
    """Height and width of every frame of a video [paper 4.5], which never has more tokens than its cap, if there is one.

    Where the minimum per frame would exceed the cap (over 243 frames at a cap of 16,384), frames are smaller than
    the minimum. Raises MediaError when frames of one token each, or frames of the requested size, exceed the cap.
    """
    options = options or MediaOptions()
    slices = math.ceil(num_frames / 2)
    asked = settings.video_max_tokens if options.max_tokens is None else options.max_tokens
    cap = min((tokens for tokens in (asked, settings.fit_tokens) if tokens is not None), default=math.inf)
    if options.resized_height is not None and options.resized_width is not None:
        tall, wide = smart_resize(options.resized_height, options.resized_width)
        if (tokens := slices * tall * wide // FACTOR**2) > cap:
            raise MediaError(
                f"{num_frames} frames of {wide}x{tall} make {tokens} tokens, over the cap of {cap} for a video: "
                "ask for a smaller size, fewer frames or more max_tokens"
            )
        return tall, wide
    hard = cap * FACTOR**2 // slices if cap < math.inf else math.inf
    if hard < FACTOR**2:
        raise MediaError(
            f"{num_frames} frames make over {cap} tokens at any size: ask for fewer frames or more max_tokens"
        )
    low = settings.video_min_pixels if options.min_pixels is None else options.min_pixels
    total = settings.video_total_pixels if options.total_pixels is None else options.total_pixels
    high = max(min(settings.video_max_pixels, total / num_frames * 2), int(low * 1.05))
    if options.max_pixels is not None:
        high = options.max_pixels
    high = max(FACTOR**2, int(min(high, hard)))
    return fit_under(height, width, min(low, high), high, hard)


def fit_under(height: int, width: int, low: int, high: int, hard: float) -> tuple[int, int]:
    """Size by `smart_resize`, but with an area of at most `hard`, also where rounding up to a whole token would exceed it."""
    tall, wide = smart_resize(height, width, FACTOR, low, high)
    while tall * wide > hard:
        if tall >= wide:
            tall -= FACTOR
        else:
            wide -= FACTOR
    return tall, wide
