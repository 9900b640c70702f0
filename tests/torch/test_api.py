"""What torchvision's roi_pool takes, this takes; and every bad input is refused by name."""

import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from frcnn.backends.torch import RoIPool, arguments, roi_pool
from frcnn.backends.torch.nms import nms

INPUT = torch.arange(2 * 3 * 8 * 7, dtype=torch.float32).reshape(2, 3, 8, 7)
BOXES = torch.tensor([[0.0, 0, 0, 5, 6], [1, 1, 1, 6, 5], [1, 2, 2, 4, 4]])


def test_a_list_of_boxes_per_image_is_the_same_as_rows_with_an_index():
    listed = [BOXES[:1, 1:], BOXES[1:, 1:]]
    assert torch.equal(roi_pool(INPUT, listed, 2), roi_pool(INPUT, BOXES, 2))
    assert torch.equal(roi_pool(INPUT, tuple(listed), 2), roi_pool(INPUT, BOXES, 2))


def test_an_image_without_boxes_and_a_batch_without_images_are_no_special_case():
    assert torch.equal(roi_pool(INPUT, [BOXES[:0, 1:], BOXES[1:, 1:]], 2), roi_pool(INPUT, BOXES[1:], 2))
    assert roi_pool(INPUT[:0], [], 2).shape == (0, 3, 2, 2)


def test_one_number_stands_for_both_sides_of_the_grid():
    assert torch.equal(roi_pool(INPUT, BOXES, 3), roi_pool(INPUT, BOXES, (3, 3)))
    assert torch.equal(roi_pool(INPUT, BOXES, torch.tensor(3)), roi_pool(INPUT, BOXES, [3, 3]))


def test_boxes_may_have_another_type_than_the_input():
    expected = roi_pool(INPUT, BOXES, 2)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert torch.equal(roi_pool(INPUT, BOXES.to(dtype), 2), expected)
    assert torch.equal(roi_pool(INPUT.double(), BOXES, 2), expected.double())


@pytest.mark.parametrize(("dtype", "images"), [(torch.bfloat16, 258), (torch.float16, 2050)])
def test_boxes_of_a_half_type_may_be_of_more_images_than_it_counts(dtype, images):
    input = torch.arange(float(images)).reshape(images, 1, 1, 1)
    assert torch.equal(roi_pool(input, [torch.zeros(1, 4, dtype=dtype)] * images, 1), input)


def test_a_map_of_as_many_cells_as_an_int32_counts_is_taken():
    assert roi_pool(torch.zeros(1, 0, 46341, 46340), torch.zeros(1, 5), 1).shape == (1, 0, 1, 1)
    with pytest.raises(ValueError, match=r"fewer than 2\^31 cells"):
        roi_pool(torch.zeros(1, 0, 46341, 46341), torch.zeros(1, 5), 1)


def test_a_result_that_memory_cannot_address_is_refused():
    input = torch.zeros(1, 1349128, 1, 2, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="overflow"):  # 8 bytes of each number are 2 MB, modulo 2^64
        roi_pool(input, torch.zeros(1, 5).expand(1219429, 5), (1401587, 1))


def test_forward_mode_is_refused_since_it_would_give_zeros():
    with pytest.raises(NotImplementedError, match="forward mode"):
        torch.func.jvp(lambda input: roi_pool(input, BOXES, 2), (INPUT,), (torch.ones_like(INPUT),))


def test_the_default_device_is_not_asked():
    unusable = row(0, 0, 0, nan, 1)
    with torch.device("meta"), pytest.raises(ValueError, match=r"boxes\[3\] has x2 = nan"):
        roi_pool(INPUT, unusable, 2)
    with torch.device("meta"):
        assert arguments.first_unusable(unusable, 1.0, 2).startswith("boxes[3] has x2 = nan")
        assert nms(BOXES[:, 1:], BOXES[:, 0], 0.9).tolist() == [1, 2, 0]


def test_the_module_pools_as_the_function_does_and_says_what_it_is():
    module = RoIPool(7, 1 / 16, profile="caffe-2015")
    boxes = BOXES * torch.tensor([1.0, 16, 16, 16, 16])
    assert torch.equal(module(INPUT, boxes), roi_pool(INPUT, boxes, 7, 1 / 16, profile="caffe-2015"))
    assert repr(module) == "RoIPool(output_size=(7, 7), spatial_scale=0.0625, profile='caffe-2015', validate=True)"


def test_the_module_can_be_exported():
    exported = torch.export.export(RoIPool(2, 1.0, profile="caffe-2015"), (INPUT, BOXES))
    assert torch.equal(exported.module()(INPUT, BOXES), roi_pool(INPUT, BOXES, 2, profile="caffe-2015"))


def test_an_export_can_be_trained_whatever_its_example_wanted_and_without_gradients_computes_no_argmax():
    exported = torch.export.export(RoIPool(2, 1.0), (INPUT, BOXES))
    wanting, other = INPUT.clone().requires_grad_(), INPUT.clone().requires_grad_()
    exported.module()(wanting, BOXES).square().sum().backward()
    roi_pool(other, BOXES, 2).square().sum().backward()
    assert torch.equal(wanting.grad, other.grad)
    with torch.no_grad():
        for_inference = torch.export.export(RoIPool(2, 1.0), (INPUT, BOXES))
    assert torch.equal(for_inference.module()(INPUT, BOXES), roi_pool(INPUT, BOXES, 2))
    with pytest.raises(RuntimeError, match="export it with gradients enabled"):
        for_inference.module()(wanting, BOXES).sum().backward()


def row(*values):
    return torch.cat([BOXES, torch.tensor([values], dtype=torch.float32)])


nan, inf = float("nan"), float("inf")

REFUSED = [
    ({"input": [[1.0]]}, TypeError, "input must be a torch.Tensor, got list"),
    ({"input": INPUT[0]}, ValueError, "input must have shape (N, C, H, W), got (3, 8, 7)"),
    (
        {"input": INPUT.int()},
        TypeError,
        "input must have one of the types float16, bfloat16, float32, float64, got int32",
    ),
    ({"input": INPUT.to(torch.complex64)}, TypeError, "got complex64"),
    ({"boxes": BOXES[:, :4]}, ValueError, "boxes must have shape (R, 5), got (3, 4)"),
    ({"boxes": BOXES[0]}, ValueError, "boxes must have shape (R, 5), got (5,)"),
    (
        {"boxes": BOXES.long()},
        TypeError,
        "boxes must have one of the types float16, bfloat16, float32, float64, got int64",
    ),
    ({"boxes": "all"}, TypeError, "boxes must be a tensor (R, 5) or a list of tensors (L, 4), got str"),
    ({"boxes": [BOXES[:, 1:]]}, ValueError, "boxes must hold one tensor per image, got 1 for 2 images"),
    ({"boxes": [BOXES[:, 1:], BOXES]}, ValueError, "boxes[1] must have shape (L, 4), got (3, 5)"),
    ({"boxes": [BOXES[:, 1:], [1.0]]}, TypeError, "boxes[1] must be a tensor (L, 4), got list"),
    ({"boxes": BOXES.to("meta")}, ValueError, "boxes is on meta, but input is on cpu; move one of them"),
    ({"output_size": 0}, ValueError, "output_size must be 2 whole numbers in 1..2^63 - 1, got 0"),
    ({"output_size": (2, -1)}, ValueError, "output_size must be 2 whole numbers in 1..2^63 - 1, got (2, -1)"),
    ({"output_size": (2, 2, 2)}, ValueError, "output_size must be 2 whole numbers in 1..2^63 - 1, got (2, 2, 2)"),
    ({"output_size": 2**63}, ValueError, "output_size must be 2 whole numbers in 1..2^63 - 1, got 9223372036854775808"),
    ({"output_size": 2.5}, TypeError, "output_size must be 2 whole numbers, got 2.5"),
    ({"output_size": "77"}, TypeError, "output_size must be 2 whole numbers, got '77'"),
    ({"output_size": None}, TypeError, "output_size must be 2 whole numbers, got None"),
    ({"spatial_scale": 0.0}, ValueError, "spatial_scale must be positive and finite in float32, got 0.0"),
    ({"spatial_scale": -1}, ValueError, "spatial_scale must be positive and finite in float32, got -1.0"),
    ({"spatial_scale": nan}, ValueError, "spatial_scale must be positive and finite in float32, got nan"),
    ({"spatial_scale": 1e39}, ValueError, "spatial_scale must be positive and finite in float32, got 1e+39"),
    ({"spatial_scale": 1e-46}, ValueError, "spatial_scale must be positive and finite in float32, got 1e-46"),
    ({"spatial_scale": inf, "boxes": BOXES.double()}, ValueError, "finite in float64, got inf"),
    ({"spatial_scale": "1/16"}, TypeError, "spatial_scale must be a number, got '1/16'"),
    ({"profile": "caffe"}, ValueError, "profile must be one of exact, caffe-2015, got 'caffe'"),
    ({"boxes": row(2, 0, 0, 1, 1)}, ValueError, "boxes[3] has image index 2, but input holds 2 images (0..1)"),
    ({"boxes": row(-1, 0, 0, 1, 1)}, ValueError, "boxes[3] has image index -1, but input holds 2 images (0..1)"),
    ({"boxes": row(0.5, 0, 0, 1, 1)}, ValueError, "boxes[3] has image index 0.5, but input holds 2 images (0..1)"),
    ({"boxes": row(nan, 0, 0, 1, 1)}, ValueError, "boxes[3] has image index nan, but input holds 2 images (0..1)"),
    ({"boxes": BOXES, "input": INPUT[:0]}, ValueError, "boxes[0] has image index 0, but input holds 0 images"),
    ({"boxes": row(0, nan, 0, 1, 1)}, ValueError, "boxes[3] has x1 = nan, nan on the map; coordinates must be finite"),
    ({"boxes": row(0, 0, inf, 1, 1)}, ValueError, "boxes[3] has y1 = inf, inf on the map; coordinates must be finite"),
    ({"boxes": row(0, 0, 0, 2e7, 1)}, ValueError, "boxes[3] has x2 = 2e+07, 2e+07 on the map"),
    ({"boxes": row(0, 0, 0, 1, 1e6), "spatial_scale": 100}, ValueError, "boxes[3] has y2 = 1e+06, 1e+08 on the map"),
]


@pytest.mark.parametrize(("changed", "kind", "message"), REFUSED, ids=[case[2][:60] for case in REFUSED])
def test_bad_input_is_refused_by_the_name_of_the_argument(changed, kind, message):
    call = {"input": INPUT, "boxes": BOXES, "output_size": 2, "spatial_scale": 1.0, **changed}
    with pytest.raises(kind, match=re.escape(message)):
        roi_pool(**call)


def test_a_module_refuses_its_arguments_when_it_is_made():
    with pytest.raises(ValueError, match="output_size"):
        RoIPool(0, 1.0)
    with pytest.raises(ValueError, match="profile"):
        RoIPool(7, 1.0, profile="caffe")
    with pytest.raises(TypeError, match="spatial_scale"):
        RoIPool(7, None)


def test_the_smallest_and_the_largest_scale_of_float32_are_taken():
    for scale in (1.401298464324817e-45, 3.4028234663852886e38):
        roi_pool(INPUT, torch.zeros(1, 5), 2, scale)


@pytest.mark.parametrize("change", ["shape", "type", "rows"])
def test_the_backward_operator_refuses_what_does_not_belong_together(change):
    output, argmax = torch.ops.frcnn.roi_pool(INPUT, BOXES, 2, 2, 1.0, "exact", True, True)
    boxes = BOXES[:2] if change == "rows" else BOXES
    wrong = {"shape": argmax[:, :1], "type": argmax.long(), "rows": argmax}[change]
    with pytest.raises(ValueError, match="grad must have shape" if change == "rows" else "argmax must hold int32"):
        torch.ops.frcnn.roi_pool_backward(output, wrong, boxes, INPUT.shape, 1.0, "exact", True)


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_result_is_written_into_the_tensor_that_is_given(layout, compiled):
    features = torch.randn(2, 5, 8, 9).contiguous(memory_format=layout)
    boxes = torch.tensor([[0.0, 1, 1, 6, 7], [1, 0, 0, 8, 7], [1, 5, 5, 2, 2]])
    wanted = roi_pool(features, boxes, (3, 2))
    out = torch.full_like(wanted, torch.nan)

    def pool(features):
        return roi_pool(features, boxes, (3, 2), out=out)

    given = (torch.compile(pool, fullgraph=True) if compiled else pool)(features)
    assert torch.equal(out, wanted)
    assert given is out or compiled
    assert torch.equal(given, wanted)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (torch.zeros(1, 3, 2, 3), r"out must have shape \(1, 3, 2, 2\) and be contiguous"),
        (torch.zeros(1, 3, 2, 2).to(memory_format=torch.channels_last), "be contiguous, as input is"),
        (torch.zeros(1, 3, 2, 2).double(), "out must have the type and device of input, float32"),
        ([0.0] * 12, r"out must be a torch\.Tensor, got list"),
    ],
)
def test_a_tensor_that_is_no_place_for_the_result_is_refused(out, message):
    with pytest.raises((TypeError, ValueError), match=message):
        roi_pool(torch.ones(1, 3, 4, 4), torch.tensor([[0.0, 0, 0, 3, 3]]), 2, out=out)


def test_a_gradient_and_a_given_tensor_do_not_go_together():
    features, boxes = torch.ones(1, 3, 4, 4, requires_grad=True), torch.tensor([[0.0, 0, 0, 3, 3]])
    out = torch.zeros(1, 3, 2, 2)
    with pytest.raises(RuntimeError, match="out= has no gradient"):
        roi_pool(features, boxes, 2, out=out)
    with pytest.raises(RuntimeError, match="out= has no gradient"):
        roi_pool(features.detach(), boxes, 2, out=out.clone().requires_grad_())
    with torch.no_grad():
        assert roi_pool(features, boxes, 2, out=out) is out


def test_a_result_that_a_graph_still_needs_is_not_written_over_unnoticed():
    weights, out = torch.ones(2, 3, 2, 2, requires_grad=True), torch.empty(2, 3, 2, 2)
    with torch.no_grad():
        roi_pool(INPUT, BOXES[:2], 2, out=out)
    product = (weights * out).sum()
    with torch.no_grad():
        roi_pool(INPUT + 1, BOXES[:2], 2, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_a_result_may_not_lie_in_the_maps_that_are_read_though_each_has_a_storage_of_its_own():
    memory = np.zeros(INPUT.numel() + 1000, np.float32)
    maps = torch.from_numpy(memory[: INPUT.numel()]).view(INPUT.shape)
    out = torch.empty(roi_pool(INPUT, BOXES, 2).shape)
    for first, meets in ((INPUT.numel() - 1, True), (INPUT.numel(), False)):
        place = torch.from_numpy(memory[first : first + out.numel()]).view(out.shape)
        with pytest.raises(ValueError, match="out must not share memory with input") if meets else nullcontext():
            roi_pool(maps, BOXES, 2, out=place)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_result_may_not_lie_in_the_maps_that_are_read(layout):
    maps = torch.rand(6, 8, 2, 2).contiguous(memory_format=layout)
    for out in (maps[:4], maps[2:]):
        with pytest.raises(ValueError, match="out must not share memory with input"):
            roi_pool(maps[:4], torch.zeros(4, 5), 2, out=out)
    assert roi_pool(maps[:4], torch.zeros(2, 5), 2, out=maps[4:]).shape == (2, 8, 2, 2)
