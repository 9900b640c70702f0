"""Every operator in a compiler's hands, and those that are registered, so that it leaves them alone."""

import warnings

import pytest
import torch

from frcnn.backends import torch as operators
from frcnn.backends.torch import cpu

R, K = 40, 3


def drawn(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def boxes(rows=R, count=1):
    corners, sides = 50 * drawn(rows, count, 2), 1 + 50 * drawn(rows, count, 2, 1)[..., 0]
    return torch.cat([corners, corners + sides], dim=2).reshape(rows, 4 * count)


SCORES = drawn(R, K + 1).softmax(1)
LABELS = torch.arange(R) % (K + 1)
W, G, V = drawn(3, 5, 3)

CALLS = {
    "nms": lambda: operators.nms(boxes(), SCORES[:, 1], 0.3),
    "detect": lambda: operators.detect(SCORES, boxes(count=K + 1), LABELS * 0, 1),
    "sgd_step": lambda: operators.sgd_step(W, G, V, 0.1),
    "iou": lambda: operators.iou(boxes(), boxes(6)),
    "decode_boxes": lambda: operators.decode_boxes(boxes(), 0.1 * drawn(R, 8)),
    "encode_boxes": lambda: operators.encode_boxes(boxes(), boxes().flip(0)),
    "clip_boxes": lambda: operators.clip_boxes(boxes(), (40, 60)),
    "spp_pool": lambda: operators.spp_pool(drawn(1, 2, 9, 9), torch.tensor([[0.0, 1, 1, 60, 60]]), (1, 2), 1 / 16),
    "match_rois": lambda: operators.match_rois(boxes(), boxes(6), torch.arange(1, 7)),
    "select_scale": lambda: operators.select_scale(boxes(), [0.5, 1]),
    "truncated_svd": lambda: operators.truncated_svd(W, 2),
    "softmax_log_loss": lambda: operators.softmax_log_loss(SCORES, LABELS),
    "multi_task_loss": lambda: operators.multi_task_loss(SCORES, boxes(count=K + 1), LABELS, boxes()),
}


@pytest.mark.parametrize("name", CALLS)
def test_followed_by_a_compiler_an_operator_answers_as_without_one_and_warns_of_nothing(name):
    cpu.load.cache_clear()  # the first call of a process may be a compiled one
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = torch.compile(CALLS[name], backend="aot_eager")()
    for one, expected in zip(as_tuple(got), as_tuple(CALLS[name]()), strict=True):
        assert torch.equal(one, expected)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def test_suppression_stands_in_one_graph_with_what_follows_it():
    def kept(boxes, scores):
        return boxes[operators.nms(boxes, scores, 0.3)] + 1

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(kept, fullgraph=True)
        assert torch.equal(compiled(boxes(), SCORES[:, 1]), kept(boxes(), SCORES[:, 1]))


def test_weights_are_updated_in_place_by_a_compiled_step_too():
    weights, velocity = W.clone(), V.clone()
    torch.compile(lambda: operators.sgd_step(weights, G, velocity, 0.1, out=(weights, velocity)))()
    for one, expected in zip((weights, velocity), operators.sgd_step(W, G, V, 0.1), strict=True):
        assert torch.equal(one, expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nms", (boxes(), SCORES[:, 1], 0.3, "exact")),
        ("nms", (boxes(0), SCORES[:0, 1], 0.3, "caffe-2015")),
        ("nms_of_groups", (boxes(), torch.tensor([0, 7, R]), 0.3, "exact")),
        ("sgd_step", (W, G, V, 0.1, 0.9, 0.0005, torch.empty(5, 3), torch.empty(5, 3))),
    ],
)
def test_a_registered_operator_is_what_its_schema_says(name, arguments):
    torch.library.opcheck(getattr(torch.ops.frcnn, name).default, arguments)
