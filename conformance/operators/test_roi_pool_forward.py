"""RoI pooling, output and argmax: drawn input, one clause at a time, then all at once."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.cases import DTYPES, Pooling, channels_last, pattern
from frcnn.conformance.operators import each_type, marks_by_type
from frcnn.conformance.strategies import (
    ORDINARY,
    SPECIAL,
    TYING,
    arrays,
    laid_out,
    long_poolings,
    output_sizes,
    poolings,
    roi_arrays,
)
from frcnn.conformance.subject import rows

clause = pytest.mark.clause


@clause("roi-pool.max", "roi-pool.argmax")
@given(data=st.data())
def test_hostile_rois_on_small_maps_pool_bit_for_bit(subject, profile, data):
    subject.check_forward(data.draw(poolings(profile=profile)))


@clause("roi-pool.grid", "roi-pool.clip")
@given(data=st.data())
def test_long_rois_show_the_right_windows(subject, profile, data):
    subject.check_forward(data.draw(long_poolings(profile=profile)))


@clause("roi-pool.tie")
@given(data=st.data())
def test_the_first_of_equals_wins_and_zeros_keep_their_sign(subject, profile, data):
    subject.check_forward(on_whole_cells(data, TYING, profile))


@clause("roi-pool.nan")
@given(data=st.data())
def test_nan_is_treated_as_the_profile_says(subject, profile, data):
    subject.check_forward(on_whole_cells(data, (np.nan, 1.0, 2.0, -1.0), profile))


@clause("roi-pool.infinity")
@given(data=st.data())
def test_infinities_are_treated_as_the_profile_says(subject, profile, data):
    subject.check_forward(on_whole_cells(data, (np.inf, -np.inf, -np.inf, 1.0), profile))


@each_type("roi-pool.nan", "roi-pool.infinity", types=("float16", "bfloat16"))
@given(data=st.data())
def test_special_values_mean_the_same_in_half_types(subject, profile, dtype_name, data):
    subject.check_forward(on_whole_cells(data, SPECIAL, profile, dtype_name))


@clause("roi-pool.batch", "roi-pool.roi-order")
@given(data=st.data())
def test_each_roi_reads_its_own_image_in_any_order(subject, profile, data):
    """The value names its image, so that a RoI answered from another image shows."""
    images = data.draw(st.integers(1, 5))
    indices = data.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=6))
    features = np.arange(images, dtype=np.float32)[:, None, None, None] * 10 + pattern("rising", (images, 1, 2, 2))
    rois = np.array([(index, 0, 0, 1, 1) for index in indices], np.float32)
    named = np.array(indices, np.float32).reshape(-1, 1, 1, 1) * 10 + 3
    subject.check_forward(Pooling(features, rois, (1, 1), profile=profile), (named, np.full(named.shape, 3)))


@clause("roi-pool.roi-order")
@given(data=st.data())
def test_permuting_the_rois_permutes_the_output(subject, profile, data):
    case = data.draw(poolings(profile=profile, least_rois=2))
    order = np.array(data.draw(st.permutations(range(len(case.rois)))))
    answer = subject.pool(case)
    subject.check_forward(case.having(rois=case.rois[order]), rows(answer, order))


@clause("roi-pool.channel")
@given(data=st.data())
def test_each_channel_is_pooled_as_if_alone(subject, profile, data):
    """Channel counts around the widths of vector registers and thread blocks; one channel is compared with itself."""
    C = data.draw(st.sampled_from((1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100)))
    case = data.draw(poolings(profile=profile, least_rois=1))
    _, _, H, W = case.features.shape
    seed = data.draw(st.integers(0, 2**32 - 1))
    features = np.random.default_rng(seed).integers(-9, 9, (len(case.features), C, H, W)).astype(np.float32)
    features = data.draw(laid_out(features))
    answer = subject.check_forward(case.having(features=features))
    chosen = data.draw(st.integers(0, C - 1))
    alone = case.having(features=features[:, chosen : chosen + 1])
    subject.check_forward(alone, rows(answer, (slice(None), slice(chosen, chosen + 1))))


@each_type("roi-pool.max", "roi-pool.argmax", "roi-pool.channel")
@given(data=st.data())
def test_maps_pool_the_same_with_their_channels_last_in_memory(subject, profile, dtype_name, data):
    """Where a library knows of that order, it goes through other code."""
    subject.check_forward(with_channels_last(data, ORDINARY, profile, dtype_name))


@each_type("roi-pool.tie", "roi-pool.nan", "roi-pool.infinity")
@given(data=st.data())
def test_special_values_mean_the_same_with_channels_last_in_memory(subject, profile, dtype_name, data):
    subject.check_forward(with_channels_last(data, SPECIAL, profile, dtype_name))


@clause("roi-pool.non-square")
@given(data=st.data(), height=st.integers(1, 9), width=st.integers(1, 9))
def test_grids_need_not_be_square(subject, profile, data, height, width):
    subject.check_forward(data.draw(poolings(profile=profile)).having(output_size=(height, width)))


@clause("roi-pool.one-cell")
@given(data=st.data())
def test_a_map_of_one_cell_is_ordinary(subject, profile, data):
    case = data.draw(poolings(profile=profile))
    features = np.ascontiguousarray(case.features[:, :, :1, :1])
    subject.check_forward(case.having(features=features))


@clause("roi-pool.no-rois")
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 0)])
def test_no_roi_gives_an_output_without_rows(subject, profile, shape):
    case = Pooling(np.ones(shape, np.float32), np.zeros((0, 5), np.float32), (7, 6), profile=profile)
    subject.check_forward(case)


@each_type("roi-pool.dtype", types=("float16", "bfloat16", "float32"))
@given(data=st.data())
def test_features_and_rois_each_have_their_own_type(subject, profile, dtype_name, data):
    subject.check_forward(data.draw(poolings(ORDINARY, dtype_name, profile=profile)))


@each_type("roi-pool.max", "roi-pool.tie")
def test_neighbours_of_a_type_are_told_apart_subnormals_too(subject, profile, dtype_name):
    """Rows of two, the second a last bit above the first: 1 and its successor, 0 and the least number above it."""
    kind = DTYPES[dtype_name].type
    finfo = ml_dtypes.finfo(kind)
    pairs = [(1, 1 + float(finfo.eps)), (0, float(finfo.smallest_subnormal)), (-1, float(finfo.smallest_subnormal))]
    features = np.array(pairs, np.float64).astype(kind).reshape(3, 1, 1, 2)
    rois = np.array([(image, 0, 0, 1, 0) for image in range(3)], np.float32)
    subject.check_forward(Pooling(features, rois, (1, 1), profile=profile))


@clause("roi-pool.dtype-float64")
@pytest.mark.parametrize(
    ("dtype_name", "roi_type"), [("float64", "float64"), ("float32", "float64"), ("float64", "float32")]
)
@given(data=st.data())
def test_float64_features_and_rois_are_pooled_in_float64(subject, profile, dtype_name, roi_type, data):
    elements = data.draw(st.sampled_from((ORDINARY, SPECIAL, (1.0, 1.0 + 2.0**-52, -1e300, 1e300))))
    subject.check_forward(
        data.draw(
            poolings(elements if dtype_name == "float64" else ORDINARY, dtype_name, roi_type=roi_type, profile=profile)
        )
    )


@each_type("roi-pool.argmax", types=("float16", "float32"))
def test_the_last_cell_of_a_map_is_counted_exactly_where_narrow_types_end(subject, profile, dtype_name):
    """One-cell RoIs beside cells 2^11, 2^15 and 2^16, where float16, int16 and uint16 stop counting."""
    H, W = 3, 22_000
    cells = np.array([2**11 + 1, 2**15 - 1, 2**15, 2**16 - 1, 2**16, H * W - 1])
    row, column = np.divmod(cells, W)
    rois = np.stack([0 * row, column, row, column, row], axis=1).astype(np.float32)
    features = pattern("ones", (1, 1, H, W), DTYPES[dtype_name])
    counted = cells.reshape(-1, 1, 1, 1)
    case = Pooling(features, rois, (1, 1), profile=profile)
    subject.check_forward(case, (np.ones(counted.shape, features.dtype), counted))


@clause("roi-pool.argmax-optional")
@pytest.mark.parametrize("row", [(np.nan, 1.0), (1.0, np.nan), (-np.inf, -np.inf), (-0.0, 0.0)], ids=str)
def test_nan_infinity_and_signed_zeros_are_no_different_without_argmax(subject, profile, row):
    case = Pooling(np.array([[[row]]], np.float32), np.array([[0, 0, 0, 1, 0]], np.float32), (1, 1), profile=profile)
    subject.check_forward(subject.without_argmax(case))


@clause("roi-pool.argmax-optional")
@given(data=st.data())
def test_the_output_is_the_same_when_argmax_is_not_asked_for(subject, profile, data):
    case = data.draw(poolings(data.draw(st.sampled_from((ORDINARY, TYING, SPECIAL))), profile=profile))
    subject.check_forward(subject.without_argmax(case))


@pytest.mark.parametrize(
    ("elements", "dtype_name"),
    [
        pytest.param(elements, dtype_name, id=f"{name}-{dtype_name}", marks=mark)
        for name, elements, clauses in (
            ("ordinary", ORDINARY, ("roi-pool.argmax-optional", "roi-pool.roi-order")),
            ("tying", TYING, ("roi-pool.tie",)),
            ("special", SPECIAL, ("roi-pool.nan", "roi-pool.infinity")),
        )
        for dtype_name, mark in marks_by_type(*clauses)
    ],
)
def test_many_rois_of_many_channels_are_pooled_as_a_few_are(subject, profile, dtype_name, elements):
    """Enough for another way about it to pay: RoIs that cover each of two maps fifty times, and without the argmax.

    How many channels such a way wants is each implementation's own; with 256 there are two blocks of 256 bytes in every
    type, enough for two threads.
    """
    random = np.random.default_rng(0)
    R, N, C, H, W = 300, 2, 256, 5, 9
    features = random.choice(elements, (N, C, H, W)).astype(DTYPES[dtype_name])
    x, y = (np.sort(random.integers(-1, size + 1, (2, R)), axis=0) for size in (W, H))
    rois = np.stack([np.arange(R) * N // R, x[0], y[0], x[1], y[1]], axis=1).astype(np.float32)
    case = Pooling(features, rois, (2, 1), profile=profile)
    expected = subject.expected(case)
    for maps in (features, channels_last(features)):
        laid = case.having(features=maps)
        subject.check_forward(laid, expected)
        subject.check_forward(laid.having(with_argmax=False), expected)


@clause("roi-pool.repeatable")
@given(data=st.data())
def test_the_same_call_gives_the_same_bits(subject, profile, data):
    case = data.draw(poolings(SPECIAL, profile=profile))
    subject.check_forward(case, subject.pool(case))


@clause("roi-pool.repeatable")
def test_of_many_equal_values_the_same_one_is_taken_each_time(subject, profile):
    """Whole maps of equals, and of two zeros: which cell is chosen shows the order of every comparison."""
    zeros = np.random.default_rng(0).choice((0.0, -0.0), (1, 20, 9, 11)).astype(np.float32)
    rois = np.array([[0, 0, 0, 10, 8], [0, 2, 1, 9, 7], [0, 0, 0, 10, 0]], np.float32)
    for features in (zeros, np.ones_like(zeros)):
        case = Pooling(features, rois, (2, 2), profile=profile)
        first = subject.pool(case)
        for _ in range(3):
            subject.check_forward(case, first)


@clause("roi-pool.extent")
@given(data=st.data())
def test_last_corners_are_inside_and_malformed_rois_are_one_cell(subject, profile, data):
    """Corners on whole cells: nothing is rounded, so only the extent is in question."""
    first_y, first_x, last_y, last_x = (data.draw(st.integers(0, 8)) for _ in range(4))
    rois = np.array([[0, first_x, first_y, last_x, last_y]], np.float32)
    size = data.draw(st.sampled_from(((1, 1), (2, 3), (7, 7))))
    subject.check_forward(Pooling(pattern("rising", (1, 1, 9, 9)), rois, size, profile=profile))


@clause("roi-pool.rchw")
@given(data=st.data())
def test_x_leads_to_columns_and_y_to_rows(subject, profile, data):
    """With whole corners, a RoI of h x w cells pooled to h x w is the cells themselves; no map is square."""
    H, W = data.draw(st.sampled_from(((6, 11), (12, 7), (3, 17))))
    r, c = data.draw(st.integers(0, H - 1)), data.draw(st.integers(0, W - 1))
    h, w = data.draw(st.integers(1, H - r)), data.draw(st.integers(1, W - c))
    features = pattern("rising", (1, 1, H, W))
    rois = np.array([[0, c, r, c + w - 1, r + h - 1]], np.float32)
    cells = features[:, :, r : r + h, c : c + w]
    subject.check_forward(Pooling(features, rois, (h, w), profile=profile), (cells, cells.astype(np.int64)))


def with_channels_last(data, elements, profile, dtype_name):
    C = data.draw(st.sampled_from((2, 3, 16, 17, 64, 100)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    features = np.random.default_rng(seed).choice(elements, (2, C, 5, 9)).astype(DTYPES[dtype_name])
    rois = data.draw(roi_arrays(2, (5, 9), 1.0, least=1))
    return Pooling(channels_last(features), rois, data.draw(output_sizes), profile=profile)


def on_whole_cells(data, elements, profile, dtype_name="float32"):
    """A RoI on whole cells within the map, in bins that divide it evenly: only values are in question."""
    H, W = data.draw(st.sampled_from(((1, 4), (2, 2), (3, 3), (4, 1), (4, 6), (12, 12))))
    features = data.draw(arrays(elements, (1, data.draw(st.integers(1, 3)), H, W), dtype_name))
    features = data.draw(laid_out(features))
    grids = [(p, q) for p in (1, 2, 3) for q in (1, 2, 3) if H % p == 0 and W % q == 0]
    rois = np.array([[0, 0, 0, W - 1, H - 1]], np.float32)
    return Pooling(features, rois, data.draw(st.sampled_from(grids)), profile=profile)
