"""The native kernels, through torch's binding, against the reference: every bit, backward's sums included.

Equality of sums needs no bound here because the reference and the kernels add in one and the same order: RoI after RoI,
sub-window after sub-window.
"""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frcnn import reference

torch = pytest.importorskip("torch")

from frcnn.backends.torch import cpu  # noqa: E402

TYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
PROFILES = ("exact", "caffe-2015")
FLT_MAX = float(np.finfo(np.float32).max)

# 29, 58 and 116 mislead float64 bin edges, 57 and 114 float32's.
EXTENTS = (1, 2, 5, 29, 57, 58, 114, 116)

both_profiles = pytest.mark.parametrize("profile", PROFILES)
all_types = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: np.dtype(kind).name)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Before the tests, so that none of them counts the compilation in its time, or tries it again in vain."""
    cpu.load()


def tensor(array, memory_format=torch.contiguous_format):
    array = np.ascontiguousarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        whole = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        whole = torch.from_numpy(array)
    return whole.contiguous(memory_format=memory_format) if whole.dim() == 4 else whole


def array(result):
    if result.dtype == torch.bfloat16:
        return result.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return result.contiguous().numpy()


def assert_same_bits(got, wanted):
    """Equal in type, shape and every bit, but for the payload of NaN."""
    __tracebackhide__ = True
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    bits = np.dtype(f"u{wanted.itemsize}")
    alike = np.ascontiguousarray(got).view(bits) == np.ascontiguousarray(wanted).view(bits)
    alike |= (got != got) & (wanted != wanted)
    if not alike.all():
        at = tuple(int(i) for i in np.argwhere(~alike)[0])
        pytest.fail(f"{(~alike).sum()} of {alike.size} differ, first at {at}: got {got[at]!r}, wanted {wanted[at]!r}")


def assert_pools_as_reference(features, rois, output_size, scale, profile, validate=True, gradients=None):
    """Forward with and without argmax, and backward, in both memory formats."""
    __tracebackhide__ = True
    output, argmax = reference.roi_pool(features, rois, output_size, scale, profile=profile, validate=validate)
    for layout in (torch.contiguous_format, torch.channels_last):
        arguments = tensor(features, layout), tensor(rois), *output_size, scale, profile
        for with_argmax in (False, True):
            got, got_argmax = cpu.forward(*arguments, with_argmax, validate)
            assert_same_bits(array(got), output)
        assert_same_bits(array(got_argmax).astype(np.int64), argmax)
    if gradients is not None:
        assert_adds_up_as_reference(gradients(output.shape), argmax, rois, features.shape, scale, profile)


def assert_adds_up_as_reference(grad, argmax, rois, shape, scale, profile):
    __tracebackhide__ = True
    wanted = reference.roi_pool_backward(grad, argmax, rois, shape, scale, profile=profile)
    places = tensor(argmax.astype(np.int32))
    assert_same_bits(array(cpu.backward(tensor(grad), places, tensor(rois), shape, scale, profile)), wanted)


def hostile_features(random, shape, kind):
    """Plain numbers, or many ties among special values, or nothing but what caffe-2015 cannot take for a maximum."""
    special = [0.0, -0.0, 1.0, -1.0, np.nan, -np.nan, np.inf, -np.inf, 1e-40, -1e-40, 6e-8, -6e-8, -FLT_MAX, -1e300]
    choices = (None, special, [np.nan, -np.inf, -FLT_MAX])[random.integers(3)]
    with np.errstate(over="ignore"):
        if choices is None:
            return random.standard_normal(shape).astype(kind)
        return random.choice(np.array(choices), shape).astype(kind)


def hostile_rois(random, count, images, scale, kind):
    """On and off the map, malformed ones too, on halves of a cell; whole numbers on the map are EXTENTS apart."""
    first = random.integers(-8, 24, (count, 2))
    span = (random.choice(EXTENTS, (count, 2)) - 1) * random.choice([1, 1, 1, -1], (count, 2))
    corners = np.concatenate([first, first + span], axis=1) + random.choice([0, 0.5, -0.5, 0.25], (count, 4))
    return np.concatenate([random.integers(0, images, (count, 1)), corners / scale], axis=1).astype(kind)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([0, 1, 3, 15, 16, 17, 63, 64, 65, 100, 128, 200]),
    map_size=st.one_of(
        st.tuples(st.integers(0, 20), st.integers(0, 20)), st.sampled_from([(1, 1), (130, 3), (2, 120)])
    ),
    output_size=st.one_of(st.just((7, 7)), st.tuples(st.integers(1, 30), st.integers(1, 30))),
    scale=st.sampled_from([1.0, 1 / 16, 1 / 3]),
    kinds=st.tuples(st.sampled_from(TYPES), st.sampled_from(TYPES)),
    profile=st.sampled_from(PROFILES),
)
def test_hostile_rois_and_features_pool_and_add_up_as_the_reference_says(
    seed, channels, map_size, output_size, scale, kinds, profile
):
    random = np.random.default_rng(seed)
    images = int(random.integers(1, 4))
    features = hostile_features(random, (images, channels, *map_size), kinds[0])
    rois = hostile_rois(random, int(random.integers(0, 6)), images, scale, kinds[1])
    assert_pools_as_reference(
        features, rois, output_size, scale, profile, gradients=lambda s: random.standard_normal(s).astype(kinds[0])
    )


@both_profiles
@pytest.mark.parametrize("pooled", [1, 6, 7, 22, 30])
def test_every_misleading_extent_has_the_profiles_own_windows_and_gradients(profile, pooled):
    random = np.random.default_rng(pooled)
    features = np.arange(120 * 120, dtype=np.float32).reshape(1, 1, 120, 120) * np.float32([1, -1])[:, None, None]
    rois = np.float32([[0, 1, 2, n, m + 1] for n in EXTENTS for m in (n, 116)])
    assert_pools_as_reference(
        features,
        rois,
        (pooled, pooled),
        1.0,
        profile,
        gradients=lambda shape: random.standard_normal(shape).astype(np.float32),
    )


@both_profiles
@all_types
@pytest.mark.parametrize("channels", [1, 17, 130])
@pytest.mark.parametrize("nan", [False, True])
def test_many_rois_on_a_map_pool_as_the_reference_says_where_one_number_is_nan_too(profile, kind, channels, nan):
    """Enough of them that the maps are looked through for NaN first; the only one is the last number of all."""
    random = np.random.default_rng(3)
    features = random.standard_normal((2, channels, 9, 7)).astype(kind)
    if nan:
        features[-1, -1, -1, -1] = np.nan
    rois = np.concatenate([hostile_rois(random, 30, 2, 1.0, np.float32), np.float32([[1, 0, 0, 6, 8]] * 30)])
    assert_pools_as_reference(features, rois, (3, 2), 1.0, profile)


@all_types
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_too_large_for_any_cache_are_those_of_their_parts(kind, layout):
    """From 8 MB on they are written past the caches."""
    random, size = np.random.default_rng(4), np.dtype(kind).itemsize
    features = tensor(random.standard_normal((2, 96, 12, 10)).astype(kind), layout)
    count = 2**23 // (96 * 7 * 7 * (size + 4)) + 1
    rois = tensor(hostile_rois(random, count, 2, 1.0, np.float32))
    whole = cpu.forward(features, rois, 7, 7, 1.0, "exact", True, True)
    parts = [cpu.forward(features, some, 7, 7, 1.0, "exact", True, True) for some in rois.chunk(3)]
    for together, apart in zip(whole, zip(*parts, strict=True), strict=True):
        assert_same_bits(array(together), array(torch.cat(apart)))


@all_types
def test_gradients_too_large_for_any_cache_are_those_of_their_images(kind):
    """From 8 MB on they are written past the caches."""
    random, size = np.random.default_rng(5), np.dtype(kind).itemsize
    shape = (2, 96, 100, 2**23 // (2 * 96 * 100 * size) + 1)
    rois = hostile_rois(random, 20, 2, 1.0, np.float32)
    argmax = random.integers(-1, shape[2] * shape[3], (20, 96, 3, 2)).astype(np.int32)
    grad = random.standard_normal(argmax.shape).astype(kind)

    def gradient(images, chosen):
        moved = rois[chosen] - np.float32([images.start, 0, 0, 0, 0])
        given = [tensor(each[chosen], torch.channels_last) for each in (grad, argmax)]
        return cpu.backward(*given, tensor(moved), (len(images), *shape[1:]), 1.0, "exact")

    apart = [gradient(range(image, image + 1), rois[:, 0] == image) for image in range(2)]
    assert_same_bits(array(gradient(range(2), rois[:, 0] >= 0)), array(torch.cat(apart)))


@both_profiles
@all_types
def test_any_argmax_on_the_map_adds_up_as_the_reference_says(profile, kind):
    random = np.random.default_rng(0)
    rois = hostile_rois(random, 9, 2, 0.5, np.float32)
    argmax = random.integers(-1, 12 * 9, (9, 17, 22, 3))
    grad = random.standard_normal(argmax.shape).astype(kind)
    assert_adds_up_as_reference(grad, argmax, rois, (2, 17, 12, 9), 0.5, profile)


@both_profiles
def test_no_rois_and_no_images_give_empty_results(profile):
    features, rois = np.zeros((2, 3, 4, 5), np.float32), np.zeros((0, 5), np.float32)
    assert_pools_as_reference(features, rois, (7, 7), 1.0, profile, gradients=lambda s: np.zeros(s, np.float32))
    assert_pools_as_reference(features[:0], rois, (7, 7), 1.0, profile, gradients=lambda s: np.zeros(s, np.float32))


BAD_ROWS = {
    "no such image": [2, 0, 0, 1, 1],
    "a negative image": [-1, 0, 0, 1, 1],
    "half an image": [0.5, 0, 0, 1, 1],
    "image NaN": [np.nan, 0, 0, 1, 1],
    "a NaN corner": [0, 0, np.nan, 1, 1],
    "an infinite corner": [0, 0, 0, np.inf, 1],
    "a corner beyond 2^24": [0, 0, 0, 1, -(2**24) - 2],
    "a corner beyond 2^24 on the map": [0, 0, 0, 2**23 + 1, 1],
}


@both_profiles
@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_an_unusable_roi_is_refused_in_the_references_words_or_pools_to_nothing(profile, row):
    features, scale = np.ones((2, 3, 4, 5), np.float32), 2.0
    rois = np.array([[0, 0, 0, 1, 1], row, [0, np.nan, 0, 0, 0]], np.float64)
    with pytest.raises(ValueError, match="rois") as wanted:
        reference.roi_pool(features, rois, (2, 2), scale, profile=profile)
    sentence = str(wanted.value).replace("rois[", "boxes[").replace("features holds", "input holds")
    arguments = tensor(features), tensor(rois), 2, 2, scale, profile, True
    with pytest.raises(ValueError, match="boxes") as got:
        cpu.forward(*arguments, True)
    assert str(got.value) == sentence
    places = torch.full((3, 3, 2, 2), -1, dtype=torch.int32)
    with pytest.raises(ValueError, match="boxes") as got:
        cpu.backward(places.float(), places, tensor(rois), features.shape, scale, profile)
    assert str(got.value) == sentence
    assert_pools_as_reference(features, rois, (2, 2), scale, profile, validate=False)


def test_an_unusable_roi_has_no_gradient_where_validation_is_off():
    rois, shape = tensor(np.float32([[9, 0, 0, 1, 1], [0, 0, 0, 0, 0]])), (2, 1, 1, 1)
    grad, argmax = torch.ones(shape), torch.zeros(shape, dtype=torch.int32)
    assert cpu.backward(grad, argmax, rois, (1, 1, 1, 1), 1.0, "exact", validate=False).item() == 1.0


@pytest.mark.parametrize("index", [-2, 20, 2**31 - 1, -(2**31)])
def test_an_argmax_off_the_map_is_refused(index):
    argmax = torch.tensor([[[[index]]]], dtype=torch.int32)
    with pytest.raises(ValueError, match=r"^argmax must lie in -1\.\.19 for a map of 4 x 5$"):
        cpu.backward(torch.ones(1, 1, 1, 1), argmax, torch.zeros(1, 5), (1, 1, 4, 5), 1.0, "exact")


@both_profiles
@pytest.mark.parametrize(
    "roi", [[1, 0, 0, 3, 3], [1, 3, 3, 0, 0], [9, 0, 0, 3, 3]], ids=["whole", "malformed", "unusable"]
)
@pytest.mark.parametrize("channels", [1, 16, 17, 40])
def test_an_argmax_off_the_map_is_refused_wherever_it_stands_and_whatever_becomes_of_its_roi(profile, roi, channels):
    boxes = torch.tensor([[0, 0, 0, 3, 3], roi], dtype=torch.float32)
    for row, channel, place in ((0, 0, 0), (1, 0, 3), (1, channels - 1, 0)):
        argmax = torch.zeros(2, channels, 2, 2, dtype=torch.int32)
        argmax[row, channel].view(-1)[place] = 20
        with pytest.raises(ValueError, match=r"^argmax must lie in -1\.\.19 for a map of 4 x 5$"):
            cpu.backward(torch.ones(argmax.shape), argmax, boxes, (2, channels, 4, 5), 1.0, profile, validate=False)


def test_a_map_without_cells_takes_no_argmax_but_none():
    grad, boxes = torch.ones(1, 1, 1, 1), torch.zeros(1, 5)
    argmax = torch.full((1, 1, 1, 1), -1, dtype=torch.int32)
    assert cpu.backward(grad, argmax, boxes, (1, 1, 0, 5), 1.0, "exact").shape == (1, 1, 0, 5)
    with pytest.raises(ValueError, match=r"^argmax must lie in -1\.\.-1 for a map of 0 x 5$"):
        cpu.backward(grad, argmax + 1, boxes, (1, 1, 0, 5), 1.0, "exact")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-60, 1e60])
def test_a_scale_that_is_not_positive_and_finite_in_the_boxes_type_is_refused(scale):
    with pytest.raises(ValueError, match="spatial_scale must be positive and finite in float32"):
        cpu.forward(torch.ones(1, 1, 2, 2), torch.zeros(1, 5), 1, 1, scale, "exact", True, True)


@both_profiles
@all_types
def test_subnormal_numbers_count_where_the_caller_flushes_them(profile, kind):
    smallest = float(ml_dtypes.finfo(kind).smallest_subnormal)
    features = np.array([0, -smallest, smallest, 2 * smallest, smallest, 0], kind).reshape(1, 1, 2, 3)
    rois = np.float32([[0, 0, 0, 2, 1], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]])
    output, argmax = reference.roi_pool(features, rois, (1, 1), profile=profile)
    grad = np.full(output.shape, smallest, kind)
    wanted = reference.roi_pool_backward(grad, argmax, rois, features.shape, profile=profile)
    given = [tensor(each) for each in (features, rois, grad, argmax.astype(np.int32))]
    assert torch.set_flush_denormal(True)
    try:
        got, got_argmax = cpu.forward(*given[:2], 1, 1, 1.0, profile, True, True)
        sums = cpu.backward(given[2], got_argmax, given[1], features.shape, 1.0, profile)
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(array(got), output)
    assert_same_bits(array(got_argmax).astype(np.int64), argmax)
    assert_same_bits(array(sums), wanted)


@both_profiles
@all_types
def test_the_number_of_threads_changes_no_bit(profile, kind):
    random = np.random.default_rng(1)
    features = tensor(random.standard_normal((2, 100, 20, 30)).astype(kind))
    rois = tensor(hostile_rois(random, 60, 2, 1 / 16, np.float32))
    grad = tensor(random.standard_normal((60, 100, 7, 7)).astype(kind))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            output, argmax = cpu.forward(features, rois, 7, 7, 1 / 16, profile, True, True)
            results.append((output, argmax, cpu.backward(grad, argmax, rois, features.shape, 1 / 16, profile)))
    finally:
        torch.set_num_threads(before)
    for more in results[1:]:
        for one, other in zip(results[0], more, strict=True):
            assert torch.equal(one, other)


def test_results_are_channels_last_where_the_input_is():
    rois, features = torch.tensor([[0.0, 0, 0, 3, 3]]), torch.rand(2, 3, 4, 5)
    for layout in (torch.contiguous_format, torch.channels_last):
        output, argmax = cpu.forward(features.contiguous(memory_format=layout), rois, 2, 2, 1.0, "exact", True, True)
        sums = cpu.backward(output, argmax, rois, features.shape, 1.0, "exact")
        assert all(result.is_contiguous(memory_format=layout) for result in (output, argmax, sums))


def test_an_argmax_that_nobody_asked_for_is_empty():
    _, argmax = cpu.forward(torch.ones(1, 1, 2, 2), torch.zeros(1, 5), 1, 1, 1.0, "exact", False, True)
    assert argmax.shape == (0,)
    assert argmax.dtype == torch.int32


def pool_many_rois(R):
    """Results of 73,728 bytes a RoI, and an argmax of as much: memory is kept for them from 29 RoIs on."""
    features = torch.randn((1, 512, 6, 8), generator=torch.Generator().manual_seed(2))
    boxes = torch.tensor([[0, 0, 0, 96, 80]], dtype=torch.float32).repeat(R, 1)
    return cpu.forward(features, boxes, 6, 6, 0.0625, "exact", True, True)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux only")
def test_a_large_result_lies_where_one_of_about_its_size_lay_that_nobody_holds_any_more():
    import resource

    def page_faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    pool_many_rois(1500)
    before = page_faults()
    output, argmax = pool_many_rois(1400)
    # However large the system's pages are, a fault brings at most 2 MB.
    pages = (output.nbytes + argmax.nbytes) // 2**21
    assert pages > 90
    assert page_faults() - before < pages / 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux only")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_sums_of_a_large_map_lie_where_those_of_an_earlier_one_lay_and_begin_at_zero(kind):
    import resource

    def page_faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    H, W = 1000, 1600
    rois = np.float32([[0, 0, 0, W - 1, H - 1], [0, 3, 5, 900, 700]])
    features = np.arange(H * W, dtype=kind).reshape(1, 1, H, W)
    _, argmax = reference.roi_pool(features, rois, 7)
    grad = np.random.default_rng(0).standard_normal(argmax.shape).astype(kind)
    wanted = reference.roi_pool_backward(grad, argmax, rois, features.shape)
    arguments = tensor(grad), tensor(argmax.astype(np.int32)), tensor(rois), features.shape, 1.0, "exact"
    first = cpu.backward(*arguments)
    before = page_faults()
    second = cpu.backward(*arguments)
    # However large the system's pages are, a fault brings at most 2 MB.
    pages = H * W * 32 * grad.itemsize // 2**21
    assert pages > 90
    assert page_faults() - before < pages / 2
    assert_same_bits(array(first), wanted)
    assert_same_bits(array(second), wanted)


def test_a_large_result_that_somebody_holds_keeps_its_numbers():
    held = pool_many_rois(128)
    before = [part.clone() for part in held]
    view = held[0][5]
    for _ in range(10):
        again = pool_many_rois(128)
        assert all(not torch.equal(part, torch.zeros_like(part)) for part in again)
        for part in again:
            part.zero_()
    assert all(map(torch.equal, held, before))
    del held
    pool_many_rois(128)[0].zero_()
    assert torch.equal(view, before[0][5])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux only")
def test_what_is_kept_is_given_up_before_an_address_limit_refuses_a_result():
    program = """
import resource
import torch
from frcnn.backends.torch import roi_pool

def pool(R):
    return roi_pool(torch.ones(1, 512, 4, 4), torch.zeros(1, 5).repeat(R, 1), 7)

pool(1)
held = [pool(1000) for _ in range(4)]
del held  # 400 MB that are kept, in blocks too small for what comes
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
print(pool(3000).shape[0])
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "3000"


def test_a_large_result_can_be_resized_as_any_tensor_of_torchs_own():
    output, _ = pool_many_rois(128)
    before = output.clone()
    output.resize_(256, *output.shape[1:])
    assert torch.equal(output[:128], before)


def test_importing_the_cpu_backend_compiles_nothing(tmp_path):
    program = "import frcnn.backends.torch.cpu, torch; print(hasattr(torch.ops.frcnn_native, 'forward'))"
    environment = {"PATH": "", "FRCNN_CACHE_DIR": str(tmp_path), "CXX": "/nonexistent"}
    outcome = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == "False"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("H", "W"), [(1024, 1024), (1025, 1024), (1398, 750), (3, 349_525)])
def test_on_either_side_of_the_cells_whose_row_a_float_tells_the_same_gradients_are_dropped(H, W):
    """RoIs of one row and of one column at every border, 22 bins over 58 cells among them: caffe-2015 drops some."""
    rows, columns = [0, H // 2, H - 1], [0, W // 2, W - 1]
    boxes = [(0, x, y, min(x + 57, W - 1), y) for y in rows for x in columns]
    boxes += [(0, x, y, x, min(y + 57, H - 1)) for y in rows for x in columns]
    rois = np.array(boxes, np.float32)
    features = np.arange(H * W, dtype=np.float32).reshape(1, 1, H, W)  # a bin's last cell wins
    _, argmax = reference.roi_pool(features, rois, 22, profile="caffe-2015")
    grad = np.random.default_rng(0).standard_normal(argmax.shape, np.float32)
    wanted = reference.roi_pool_backward(grad, argmax, rois, features.shape, profile="caffe-2015")
    got = cpu.backward(tensor(grad), tensor(argmax.astype(np.int32)), tensor(rois), features.shape, 1.0, "caffe-2015")
    assert_same_bits(array(got), wanted)
    assert wanted.sum() != pytest.approx(grad.sum())
