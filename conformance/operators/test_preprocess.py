"""Images on their way in: scale, mean, padding, the length of a pooled map, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn.conformance.strategies import either_order

clause = pytest.mark.clause

sides = st.integers(1, 1500) | st.sampled_from((1, 2, 333, 375, 400, 500, 667, 2**24))
numbers = st.sampled_from((0.0, -0.0, 1.0, 255.0, 0.1, 102.9801, -3.5, 1e-3, 116.0, 2.0**-30))


def images(least=0, C=3):
    shapes = st.tuples(st.integers(least, 3), st.integers(least, 3), st.just(C))
    return hnp.arrays(
        np.float32, shapes, elements=st.sampled_from((0.0, -0.0, 1.0, 255.0, 0.1, -3.5, 0.7)).map(np.float32)
    )


@clause("image-scale.shorter", "image-scale.longest")
@given(
    H=sides, W=sides, short_side=st.sampled_from((600, 480, 1200, 1, 77)), longest=st.sampled_from((1000, 2000, 601))
)
def test_the_scale_is_that_of_the_shorter_side_unless_the_longer_gets_too_long(subject, H, W, short_side, longest):
    subject.check("image_scale", (H, W), short_side, longest)


@clause("image-scale.half", "image-scale.longest")
@given(longest=st.integers(601, 1500), off=st.sampled_from((-1, 0, 1)), upright=st.booleans())
def test_a_longer_side_of_a_whole_number_and_a_half_is_rounded_to_the_even_one(subject, longest, off, upright):
    """A shorter side of 4 becomes 6: the longer one is multiplied by exactly 3 / 2."""
    longer = (2 * longest + 1) // 3 + off
    subject.check("image_scale", (longer, 4) if upright else (4, longer), 6, longest)
    subject.check("image_scale", (longer, 4) if upright else (4, longer), 6, 3 * longer // 2)


@clause("image-mean.channels", "image-mean.type")
@given(data=st.data(), mean=st.tuples(numbers, numbers, numbers))
def test_each_channel_loses_its_mean_bit_for_bit(subject, mean, data):
    image = data.draw(either_order(data.draw(images())))
    subject.check("subtract_mean", image, np.array(mean))
    subject.check("subtract_mean", image)


@clause("image-mean.type", "image-mean.channels")
def test_every_byte_loses_the_mean_of_every_channel(subject):
    subject.check("subtract_mean", np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))


@clause("image-pad.corner", "image-pad.layout")
@given(data=st.data(), count=st.integers(1, 3), C=st.sampled_from((1, 3)))
def test_several_images_stand_in_the_first_corner_of_one_input(subject, count, C, data):
    subject.check("pad_images", [data.draw(images(C=C)) for _ in range(count)])


@clause("image-pad.corner")
def test_the_largest_height_and_the_largest_width_may_be_of_two_images(subject):
    wide, high = np.array([[[1], [2]]], np.float32), np.array([[[3]], [[4]]], np.float32)
    expected = np.array([[[[1, 2], [0, 0]]], [[[3, 0], [4, 0]]]], np.float32)
    subject.check("pad_images", [wide, high], expected=expected)


@clause("image-mean.order")
def test_padding_has_the_colour_of_the_mean(subject):
    """The mean is off before there is padding, from each image at its own size."""
    wide, high = np.full((1, 2, 3), 200, np.uint8), np.full((2, 1, 3), 50, np.uint8)
    mean = np.array([100.0, 120.0, 140.0])
    rest = [subject.call("subtract_mean", image, mean) for image in (wide, high)]
    plane = np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]]], np.float32)[:, None]
    left = np.array([[100, 80, 60], [-50, -70, -90]], np.float32)[:, :, None, None]
    expected = np.where(plane == 1, left, np.float32(0))
    subject.check("pad_images", rest, expected=expected)


@clause("pooled-length.ceil", "pooled-length.last")
@given(
    n=st.integers(1, 60) | st.sampled_from((600, 1000)),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 9),
    pad=st.integers(0, 6),
)
def test_windows_are_laid_until_the_last_cell_is_in_one(subject, n, kernel, stride, pad):
    subject.check("pooled_length", max(n, kernel), kernel, stride, min(pad, kernel - 1))


@clause("pooled-length.ceil")
def test_vgg16_makes_38_cells_of_600_pixels(subject):
    n = 600
    for expected in (300, 150, 75, 38):
        n = int(subject.check("pooled_length", n, 2, 2, expected=expected))


@clause("image-error.size")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("size", (value,)) for value in ((0, 5), (5, -1), (2.5, 5), (2.0, 5), (5, 5, 3), 5, None, (5, 2**24 + 1))),
        *(("short_side", ((5, 5), value)) for value in (0, -600, 600.5, 600.0, None, 2**24 + 1)),
        *(("longest", ((5, 5), 600, value)) for value in (0, -1, 0.5, 1000.0, "1000", 2**24 + 1, True)),
    ],
)
def test_sides_that_are_none_are_refused_by_name(subject, name, arguments):
    subject.check_refused(lambda: subject.call("image_scale", *arguments), name)


@clause("image-error.image")
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 4), "f4"),
        np.zeros((3, 4, 1), "f4"),
        np.zeros((3, 4, 3, 1), "f4"),
        np.zeros((3, 4, 3)),
        np.ones((3, 4, 3), int),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_an_image_of_another_shape_or_type_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("subtract_mean", wrong), "image")


@clause("image-error.mean")
@pytest.mark.parametrize(
    "wrong",
    [np.zeros(2), np.zeros((1, 3)), 5.0, np.zeros(3, "f4"), np.array([1, 2, 3]), np.array([0, np.nan, 0])],
    ids=["two", "matrix", "number", "float32", "int64", "nan"],
)
def test_a_mean_that_is_not_three_float64_numbers_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("subtract_mean", np.zeros((2, 2, 3), np.float32), wrong), "mean")


ONE = np.zeros((2, 2, 3), np.float32)


@clause("image-error.images")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("images", []),
        ("images", None),
        ("images", np.float32(1)),
        ("images[1]", [ONE, ONE.astype(np.float64)]),
        ("images[1]", [ONE, ONE.astype(np.uint8)]),
        ("images[0]", [ONE[0]]),
        ("images[1]", [ONE, ONE[..., :2]]),
    ],
    ids=["empty", "none", "number", "float64", "uint8", "rank", "channels"],
)
def test_images_that_make_no_input_are_refused(subject, name, wrong):
    subject.check_refused(lambda: subject.call("pad_images", wrong), name)


@clause("image-error.window", "image-error.size")
def test_the_largest_numbers_are_still_sides(subject):
    largest = 2**24
    subject.check("pooled_length", largest, 2, 2)
    subject.check("pooled_length", largest, largest, largest, largest - 1)
    subject.check("image_scale", (largest, 5), largest, largest)


@clause("image-error.window")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("n", (value, 2, 2)) for value in (0, -1, 2.5, 5.0, None, 2**24 + 1, True)),
        *(("kernel", (5, value, 2)) for value in (0, -1, 2.5, 2.0, None)),
        *(("stride", (5, 2, value)) for value in (0, -1, 2.5, 2.0, None)),
        *(("pad", (5, 2, 2, value)) for value in (-1, 0.5, 1.0, None, 2, 3)),
        ("kernel", (1, 3, 2)),
        ("kernel", (1, 9, 2, 2)),
    ],
)
def test_a_window_that_gives_no_cell_is_refused_by_name(subject, name, arguments):
    subject.check_refused(lambda: subject.call("pooled_length", *arguments), name)
