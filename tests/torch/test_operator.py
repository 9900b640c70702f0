"""The registered operators: opcheck, gradients of every order, torch.compile, autocast, memory formats."""

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._inductor.utils import get_first_incompatible_cudagraph_node
from torch.fx.experimental.proxy_tensor import make_fx

from frcnn.backends.torch import roi_pool

PROFILES = ("exact", "caffe-2015")
profiles = pytest.mark.parametrize("profile", PROFILES)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
layouts = pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"]
)

# Overlapping, malformed, outside in part, and out of the images' order.
BOXES = [[1, 0, 0, 5, 6], [0, 1, 1, 6, 5], [1, 2, 2, 4, 4], [0, 5, 5, 2, 1], [1, -3, 3, 2, 20], [0, 0, 0, 6, 7]]


def distinct(shape, dtype=torch.float64, layout=torch.contiguous_format):
    """Values all at least 1 apart, so that a small step changes no maximum."""
    values = torch.randperm(torch.Size(shape).numel(), generator=torch.Generator().manual_seed(0))
    return values.reshape(shape).to(dtype).contiguous(memory_format=layout)


def boxes(dtype=torch.float32):
    return torch.tensor(BOXES, dtype=dtype)


def pooled(input, profile="exact", **options):
    return roi_pool(input, boxes(), (3, 2), 0.9, profile=profile, **options)


@profiles
@dtypes
@layouts
def test_the_forward_operator_passes_opcheck(profile, dtype, layout):
    input = distinct((2, 3, 8, 7), dtype, layout).requires_grad_()
    call = (input, boxes(), 3, 2, 0.9, profile, True, True)
    torch.library.opcheck(torch.ops.frcnn.roi_pool.default, call)


@profiles
@dtypes
@layouts
def test_without_argmax_it_passes_opcheck_too(profile, dtype, layout):
    call = (distinct((2, 3, 8, 7), dtype, layout), boxes(dtype), 3, 2, 0.9, profile, False, True)
    torch.library.opcheck(torch.ops.frcnn.roi_pool.default, call)


@profiles
@dtypes
@layouts
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_backward_operator_and_its_adjoint_pass_opcheck(profile, dtype, layout, deterministic):
    input = distinct((2, 3, 8, 7), dtype, layout)
    output, argmax = torch.ops.frcnn.roi_pool(input, boxes(), 3, 2, 0.9, profile, True, True)
    grad = torch.randn_like(output).requires_grad_()
    call = (grad, argmax, boxes(), input.shape, 0.9, profile, deterministic)
    torch.library.opcheck(torch.ops.frcnn.roi_pool_backward.default, call)
    source = torch.randn_like(input).requires_grad_()
    torch.library.opcheck(torch.ops.frcnn.roi_pool_select.default, (source, argmax, boxes(), 0.9, profile))


@profiles
def test_the_gradient_is_that_of_the_maximum(profile):
    kept = boxes()[[0, 1, 2, 4, 5]]  # caffe-2015 gives a malformed RoI no gradient, which is not the derivative
    input = distinct((2, 2, 8, 7)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, kept, (3, 2), 0.9, profile=profile), input)


@profiles
def test_the_gradient_has_a_gradient_of_every_order(profile):
    input = distinct((2, 1, 6, 5)).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: pooled(x, profile), input)
    _, argmax = torch.ops.frcnn.roi_pool(input, boxes(), 3, 2, 0.9, profile, True, True)
    grad = torch.randn(argmax.shape, dtype=torch.float64, requires_grad=True)

    def backward(grad):
        return torch.ops.frcnn.roi_pool_backward(grad, argmax, boxes(), input.shape, 0.9, profile, True)

    def select(source):
        return torch.ops.frcnn.roi_pool_select(source, argmax, boxes(), 0.9, profile)

    for function, value in ((backward, grad), (select, torch.randn_like(input).requires_grad_())):
        assert torch.autograd.gradcheck(function, value)
        assert torch.autograd.gradgradcheck(function, value)


@profiles
def test_backward_and_select_are_each_others_transpose(profile):
    _, argmax = torch.ops.frcnn.roi_pool(distinct((2, 3, 8, 7)), boxes(), 3, 2, 0.9, profile, True, True)
    source = torch.randint(-9, 9, (2, 3, 8, 7)).double()
    grad = torch.randint(-9, 9, argmax.shape).double()
    back = torch.ops.frcnn.roi_pool_backward(grad, argmax, boxes(), source.shape, 0.9, profile, True)
    chosen = torch.ops.frcnn.roi_pool_select(source, argmax, boxes(), 0.9, profile)
    assert (back * source).sum() == (grad * chosen).sum()


@pytest.mark.parametrize("grid", [22, 44])
def test_select_drops_what_the_original_backward_drops(grid):
    """At P = 22 and an extent of 58 float32 division first sends a cell to another bin than forward did."""
    long = torch.tensor([[0.0, 0, 0, last, last] for last in (56, 57, 113)])
    input = distinct((1, 1, 114, 114))
    _, argmax = torch.ops.frcnn.roi_pool(input, long, grid, grid, 1.0, "caffe-2015", True, True)
    ones = torch.ones(argmax.shape, dtype=torch.float64)
    back = torch.ops.frcnn.roi_pool_backward(ones, argmax, long, input.shape, 1.0, "caffe-2015", True)
    chosen = torch.ops.frcnn.roi_pool_select(torch.ones_like(input), argmax, long, 1.0, "caffe-2015")
    assert back.sum() == chosen.sum() < argmax.numel()


def test_boxes_get_no_gradient():
    wanting = boxes().requires_grad_()
    assert not roi_pool(distinct((2, 3, 8, 7)), wanting, 2).requires_grad


def test_without_argmax_a_gradient_is_refused_by_name():
    input = distinct((2, 3, 8, 7)).requires_grad_()
    output, _ = torch.ops.frcnn.roi_pool(input, boxes(), 3, 2, 0.9, "exact", False, True)
    with pytest.raises(RuntimeError, match="with_argmax=False"):
        output.sum().backward()


@profiles
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_in_one_graph_it_equals_eager_forward_and_backward(profile, dynamic):
    def step(input, boxes):
        return roi_pool(input * 2, boxes, (3, 2), 0.9, profile=profile).relu()

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, dynamic=dynamic)
    for height, rows in ((8, 6), (9, 4)):
        eager, other = (distinct((2, 3, height, 7), torch.float32).requires_grad_() for _ in range(2))
        expected, got = step(eager, boxes()[:rows]), compiled(other, boxes()[:rows])
        assert torch.equal(expected, got)
        expected.square().sum().backward()
        got.square().sum().backward()
        assert torch.equal(eager.grad, other.grad)


def test_compiled_with_sizes_that_vary_it_is_compiled_for_them_all():
    torch._dynamo.reset()
    counter = CompileCounter()

    @torch.compile(fullgraph=True, dynamic=True, backend=counter)
    def like(input, boxes, other):
        return roi_pool(input, boxes, (other.shape[0], other.shape[1]), 0.9)

    input = distinct((2, 3, 8, 7), torch.float32)
    for size in ((2, 3), (3, 4), (5, 6), (7, 2)):
        assert torch.equal(like(input, boxes(), torch.empty(size)), roi_pool(input, boxes(), size, 0.9))
    assert counter.frame_count <= 2  # the first size may be compiled for alone


def test_what_waits_for_the_device_is_kept_out_of_cuda_graphs():
    graph = make_fx(lambda input, boxes: roi_pool(input, boxes, 2), tracing_mode="fake")(
        distinct((2, 3, 8, 7)), boxes()
    )
    assert "roi_pool" in get_first_incompatible_cudagraph_node(graph).name


@layouts
@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)
def test_compiled_it_takes_a_number_of_boxes_that_depends_on_data(layout):
    """No box, too: the gradient of channels-last maps then still has its channels last, which a compiler counts on."""

    def step(input, boxes):
        return roi_pool(input, boxes[(boxes[:, 3] > boxes[:, 1]).nonzero()[:, 0]], 2).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True)
    for rows in (boxes(), boxes()[:1], torch.zeros(3, 5)):
        eager, other = (distinct((2, 3, 8, 7), torch.float32, layout).requires_grad_() for _ in range(2))
        step(eager, rows).backward()
        compiled(other, rows).backward()
        assert torch.equal(eager.grad, other.grad)
        assert other.grad.stride() == eager.grad.stride() == eager.stride()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast_pools_in_the_type_of_the_input_and_leaves_boxes_alone(half):
    """Boxes near 2048 lose pixels in half types; a coordinate of 1031.5 would round."""
    input = torch.arange(64 * 64, dtype=torch.float32).reshape(1, 1, 64, 64)
    box = torch.tensor([[0.0, 1000, 1000, 1031.5, 1031.5]])
    expected = roi_pool(input, box, 2, 1 / 32)
    with torch.autocast("cpu", dtype=half):
        assert torch.equal(roi_pool(input, box, 2, 1 / 32), expected)
        convolved = torch.nn.functional.conv2d(input, torch.ones(1, 1, 1, 1))
        assert convolved.dtype == half
        assert roi_pool(convolved, box, 2, 1 / 32).dtype == half


@profiles
def test_gradients_flow_through_a_half_layer_under_autocast(profile):
    layer = torch.nn.Conv2d(3, 4, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = pooled(layer(torch.randn(2, 3, 8, 7)), profile)
    output.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
    assert layer.weight.grad.abs().sum() > 0


@pytest.fixture(params=[1, 6])
def threads(request):
    """One, and more than there are blocks of channels, whatever the machine has: RoIs are then put in groups."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@profiles
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("rows", "height", "width"), [(300, 5, 9), (4100, 3, 4), (900, 4, 40)])
def test_many_boxes_are_pooled_without_argmax_as_with_it(profile, dtype, rows, height, width):
    """Without it they are pooled from tables of maxima; some of these cannot be pooled at all."""
    random = np.random.default_rng(0)
    values = random.choice([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan], (3, 256, height, width))
    input = torch.tensor(values).to(dtype).contiguous(memory_format=torch.channels_last)
    x, y = (np.sort(random.integers(-3, size + 3, (2, rows)), axis=0) for size in (width, height))
    images = np.sort(random.integers(-1, 4, rows))
    many = torch.tensor(np.stack([images, x[0], y[0], x[1], y[1]], axis=1), dtype=torch.float32)
    pool = torch.ops.frcnn.roi_pool
    (one, _), (other, _) = (pool(input, many, 2, 1, 1.0, profile, wanted, False) for wanted in (True, False))
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[input.element_size()]
    assert torch.equal(one.view(bits), other.view(bits))


@profiles
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_channels_last_goes_in_and_comes_out_with_the_same_values(profile, dtype):
    plain = distinct((2, 3, 8, 7), dtype).requires_grad_()
    last = distinct((2, 3, 8, 7), dtype, torch.channels_last).requires_grad_()
    expected, got = pooled(plain, profile), pooled(last, profile)
    assert expected.is_contiguous()
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(expected, got)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (expected * weights).sum().backward()
    (got * weights).sum().backward()
    assert torch.equal(plain.grad, last.grad)
    assert last.grad.is_contiguous(memory_format=torch.channels_last)


def test_an_input_with_any_strides_is_pooled():
    wide = distinct((2, 16, 3, 7))
    odd = wide.permute(0, 2, 1, 3)[:, :, ::2]
    assert torch.equal(pooled(odd), pooled(odd.contiguous()))
    expanded = distinct((1, 1, 8, 7)).expand(2, 3, 8, 7)
    assert torch.equal(pooled(expanded), pooled(expanded.contiguous()))


@profiles
def test_no_boxes_give_an_empty_output_and_a_zero_gradient(profile):
    input = distinct((2, 3, 8, 7)).requires_grad_()
    output = roi_pool(input, torch.zeros(0, 5), 7, profile=profile)
    assert output.shape == (0, 3, 7, 7)
    output.sum().backward()
    assert torch.equal(input.grad, torch.zeros_like(input))


def test_an_unusable_box_left_unchecked_has_no_gradient():
    input = distinct((2, 3, 8, 7)).requires_grad_()
    rows = torch.tensor([[0.0, 0, 0, 3, 3], [9, 0, 0, 3, 3], [1, float("nan"), 0, 3, 3]])
    output = roi_pool(input, rows, 2, validate=False)
    assert torch.equal(output[1:], torch.zeros_like(output[1:]))
    (gradient,) = torch.autograd.grad(output.sum(), input, create_graph=True)
    assert gradient.sum() == output[0].numel()
    assert not gradient[1].any()
