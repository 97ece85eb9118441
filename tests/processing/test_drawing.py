import numpy as np
import pytest
from PIL import Image

from qwen2vl.processing.drawing import PALETTE, draw
from qwen2vl.processing.grounding import box_markup, parse_places, point_markup, quad_markup

GREY = (128, 128, 128)


def places(size, *markups):
    return parse_places(" ".join(markups), [size])


def drawn(size, *markups, mode="RGB"):
    found = places(size, *markups)
    image = Image.new("RGB", size, GREY).convert(mode)
    return np.asarray(draw(image, found.boxes, found.points))


@pytest.mark.parametrize("size", [(1, 1), (28, 200), (56, 56), (640, 480), (4000, 3000)])
def test_frames_and_labels_appear_at_any_size(size):
    out = drawn(size, box_markup((200, 200, 800, 800), "the red car"), point_markup((990, 990), "spot" * 30))
    assert out.shape == (size[1], size[0], 3)
    assert (out != 128).any()


def test_the_original_image_is_not_changed():
    image = Image.new("RGB", (64, 64), GREY)
    draw(image, places((64, 64), box_markup((0, 0, 999, 999), "all")).boxes)
    assert (np.asarray(image) == 128).all()


def test_without_places_the_result_is_an_equal_copy():
    assert (drawn((64, 64)) == 128).all()


def test_the_frame_is_drawn_on_the_edges_of_the_box():
    out = drawn((400, 400), box_markup((250, 250, 750, 750)))
    assert tuple(out[200, 100]) == tuple(out[100, 200]) == tuple(out[200, 300]) == tuple(out[300, 200]) == PALETTE[0]
    assert (out[110:290, 110:290] == 128).all()
    assert (out[:90] == 128).all()


def test_the_outline_of_a_frame_is_visible_on_its_own_colour():
    image = Image.new("RGB", (400, 400), PALETTE[0])
    out = np.asarray(draw(image, places((400, 400), box_markup((250, 250, 750, 750))).boxes))
    assert (out == 255).all(axis=-1).sum() > 400


@pytest.mark.parametrize("corner", [(0, 0, 100, 100), (900, 0, 999, 100), (0, 900, 100, 999), (900, 900, 999, 999)])
def test_labels_are_complete_in_every_corner(corner):
    def plate(box):
        out = drawn((300, 300), box_markup(box, "label"))
        unlabelled = drawn((300, 300), box_markup(box))
        rows, columns = np.nonzero((out != unlabelled).any(axis=-1))
        return np.ptp(rows), np.ptp(columns)

    reference, found = plate((400, 400, 600, 600)), plate(corner)
    assert found[0] >= reference[0] - 4 and found[1] >= reference[1] - 4  # up to the frame's line that it covers


def test_equal_labels_share_a_colour_and_others_do_not():
    out = drawn(
        (400, 400),
        box_markup((50, 50, 200, 200), "a"),
        box_markup((300, 50, 450, 200), "b"),
        box_markup((600, 600, 900, 900), "a"),
    )
    first, second, third = tuple(out[79, 40]), tuple(out[79, 140]), tuple(out[359, 300])
    assert first == third == PALETTE[0] and second == PALETTE[1]


def test_quads_are_drawn_as_quads():
    out = drawn((400, 400), quad_markup((500, 100, 900, 500, 500, 900, 100, 500)))
    assert tuple(out[200, 40]) == PALETTE[0]
    assert (out[40:60, 40:60] == 128).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_images_of_any_mode_can_be_drawn_on(mode):
    assert tuple(drawn((400, 400), point_markup((500, 500)), mode=mode)[203, 203]) != GREY
