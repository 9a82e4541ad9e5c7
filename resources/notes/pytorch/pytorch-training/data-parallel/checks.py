import math
import re

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, stated

SIZES = r"n_k = \min\big(c,\; N - (k-1)\,c\big), \qquad c = \lceil N/K \rceil"
GRADIENT = r"\nabla L = \sum_{k=1}^{K} \frac{n_k}{N}\,\nabla L_k, \qquad L_k = \frac{1}{n_k} \sum_{i \in S_k} \ell_i"


def sizes(N, K):
    c = math.ceil(N / K)
    return [n for n in (min(c, N - k * c) for k in range(K)) if n > 0]


@formula(SIZES)
def check_shard_sizes():
    for N in range(1, 40):
        for K in (1, 2, 3, 4, 8):
            assert [len(part) for part in torch.zeros(N, 2).chunk(K)] == sizes(N, K)
    from torch.nn.parallel.scatter_gather import scatter_kwargs  # splits with the same chunk; needs a GPU to run

    assert callable(scatter_kwargs)


@formula(GRADIENT)
def check_gradient():
    for N, K, d in [(10, 4, 3), (7, 2, 1), (12, 4, 5)]:
        x, y, w = torch.randn(N, d).double(), torch.randn(N).double(), torch.randn(d).double().requires_grad_()
        whole = torch.autograd.grad(((x @ w - y) ** 2).mean(), w)[0].numpy()
        X, Y, W = x.numpy(), y.numpy(), w.detach().numpy()
        parts, start = [], 0
        for n in sizes(N, K):
            a, b = X[start : start + n], Y[start : start + n]
            parts.append((n, 2 / n * a.T @ (a @ W - b)))
            start += n
        np.testing.assert_allclose(sum(n / N * g for n, g in parts), whole, rtol=1e-9)
        plain = sum(g for _, g in parts) / len(parts)
        assert np.allclose(plain, whole) == (len({n for n, _ in parts}) == 1)


@check
def check_worked_example():
    assert sizes(10, 4) == [3, 3, 3, 1]
    g = torch.tensor([1.0] * 9 + [11.0])
    stated("2", g.mean())
    stated("3.5", torch.stack([part.mean() for part in g.chunk(4)]).mean())


@check
def check_wrapper():
    import inspect

    defaults = {n: p.default for n, p in inspect.signature(nn.DataParallel.__init__).parameters.items()}
    assert defaults["device_ids"] is None and defaults["output_device"] is None and defaults["dim"] == 0
    assert "recommended to use" in nn.DataParallel.__doc__ and "replicated" in nn.DataParallel.__doc__ and "are summed" in nn.DataParallel.__doc__
    model = nn.Linear(2, 2)
    try:
        model.load_state_dict(nn.DataParallel(model).state_dict())
    except RuntimeError as error:
        assert 'Missing key(s) in state_dict: "weight"' in str(error) and 'Unexpected key(s) in state_dict: "module.weight"' in str(error)
    else:
        raise AssertionError("expected an error")
    if not torch.cuda.is_available():
        x = torch.randn(3, 2)
        assert nn.DataParallel(model).device_ids == [] and torch.equal(nn.DataParallel(model)(x), model(x))


@check
def check_what_ddp_documents():
    # two processes would be needed to run it; the averaging itself is check_gradient's `plain`
    assert re.search(r"gradients\s+between different nodes are averaged", nn.parallel.DistributedDataParallel.__doc__)


@check
def check_replica_keeps_its_attributes_to_itself():
    model = nn.Linear(2, 2)
    model.counter = 0
    model._replicate_for_data_parallel().counter += 1
    assert model.counter == 0


@check
def check_batch_norm_sees_its_shard():
    norm, x = nn.BatchNorm1d(1, affine=False), torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    split = torch.cat([norm(part) for part in x.chunk(2)])
    assert not torch.allclose(split, norm(x), atol=0.1)
