"""The losses in a compiler's hands."""

import torch

from frcnn.backends.torch import multi_task_loss


def test_compiled_in_one_graph_the_loss_takes_any_lambda():
    scores, deltas, targets = torch.randn(4, 3), torch.randn(4, 12), torch.randn(4, 4)
    labels = torch.tensor([0, 1, 2, 1])

    def loss(scores, deltas, lambda_):
        return multi_task_loss(scores, deltas, labels, targets, lambda_=lambda_)[0]

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True)
    for lambda_ in (1.0, 2.0, 3.5):
        assert torch.allclose(compiled(scores, deltas, lambda_), loss(scores, deltas, lambda_))
