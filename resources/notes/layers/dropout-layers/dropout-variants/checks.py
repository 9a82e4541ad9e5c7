import inspect
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

SPATIAL = r"y_{n,c,h,w} = \frac{m_{n,c}}{1-p}\, x_{n,c,h,w}"
CONNECT = r"y_k = \sum_i \frac{M_{ki}}{1-p}\, W_{ki}\, x_i + b_k"
MOMENTS = r"""
\operatorname{Var}[y_k] = \frac{p}{1-p} \sum_i W_{ki}^2 x_i^2, \qquad
\operatorname{Cov}[y_k, y_l] = \begin{cases} \frac{p}{1-p} \sum_i W_{ki} W_{li}\, x_i^2 & \text{dropout} \\ 0 & \text{DropConnect} \end{cases}
"""
MULTI = r"L = \frac{1}{K} \sum_{k=1}^{K} \ell\!\left(f\!\left(\frac{m^{(k)} \odot h}{1-p}\right), y\right)"

by_definition("dropout", "multi-sample")
sourced("Tompson et al., arXiv 1411.4280, section 3.2; Keras documentation of SpatialDropout1D", "spatial dropout")
sourced("Wan et al. 2013 (dense layers); Merity et al., arXiv 1708.02182, section 2 (recurrent weights)", "DropConnect")
sourced("Huang et al., arXiv 1603.09382; Touvron et al., arXiv 2012.12877, section 6 (ViT)", "stochastic depth")
sourced("Ghiasi et al., arXiv 1810.12890, abstract: DropBlock for convolutional networks", "DropBlock")


@holds("`nn.Dropout1d(p=0.5)`", "`nn.Dropout2d(p=0.5)`, `nn.Dropout3d(p=0.5)`", "dtype, parameters", "spatial dropout")
@formula(SPATIAL)
def check_spatial_dropout():
    for kind, shape in ((nn.Dropout1d, (40, 50, 7)), (nn.Dropout2d, (40, 50, 3, 4)), (nn.Dropout3d, (40, 50, 2, 3, 2))):
        for p in (0.2, 0.7):
            x = torch.randn(shape, dtype=torch.float64)
            y = kind(p)(x)
            kept = (y.flatten(2) != 0).all(-1).double()
            mask = kept.reshape(40, 50, *[1] * (len(shape) - 2))
            np.testing.assert_allclose((mask / (1 - p) * x).numpy(), y.numpy(), rtol=1e-12)
            assert abs(float(kept.mean()) - (1 - p)) < 0.04 and 0 < float(kept.std(0).min())
            assert torch.equal(kind(p).eval()(x), x)
    unbatched = nn.Dropout3d(0.5)(torch.ones(60, 2, 3, 4)).flatten(1)
    assert ((unbatched == 0).all(1) | (unbatched == 2).all(1)).all() and 0 < float(unbatched.mean()) < 2
    single = nn.Dropout1d(0.5)(torch.ones(60, 5))
    assert ((single == 0).all(1) | (single == 2).all(1)).all()
    for kind in (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d):
        assert inspect.signature(kind).parameters["p"].default == 0.5
        assert not list(kind().parameters())
        raises(RuntimeError, lambda: kind()(torch.ones(2, 3, *[4] * (int(kind.__name__[-2])), dtype=torch.int64)))


@holds("DropConnect")
@formula(CONNECT)
def check_drop_connect():
    W, b, x, p = torch.randn(4, 6).double(), torch.randn(4).double(), torch.randn(6).double(), 0.3
    dropped = F.dropout(W, p)
    M = (dropped != 0).double().numpy()
    ours = [sum(M[k, i] / (1 - p) * W.numpy()[k, i] * x.numpy()[i] for i in range(6)) + b.numpy()[k] for k in range(4)]
    np.testing.assert_allclose(ours, F.linear(x, dropped, b).numpy(), rtol=1e-10)
    assert 0 < M.sum() < M.size


@formula(MOMENTS)
def check_moments():
    W, x, p, draws = torch.randn(2, 5).double(), torch.randn(5).double() + 1, 0.4, 400_000
    on_input = F.dropout(x.expand(draws, 5), p) @ W.T
    on_weight = (F.dropout(W.expand(draws, 2, 5), p) * x).sum(-1)
    variance = (p / (1 - p) * (W**2 * x**2).sum(1)).numpy()
    covariance = float(p / (1 - p) * (W[0] * W[1] * x**2).sum())
    scale = float(np.sqrt(variance.prod()))
    for outputs, wanted in ((on_input, covariance), (on_weight, 0.0)):
        found = np.cov(outputs.numpy().T)
        np.testing.assert_allclose(np.diag(found), variance, rtol=0.02)
        assert abs(found[0, 1] - wanted) < 0.02 * scale
        np.testing.assert_allclose(outputs.mean(0).numpy(), (W @ x).numpy(), atol=0.02 * np.sqrt(variance.max()))
    assert abs(covariance) > 0.05 * scale


@formula(MULTI)
def check_multi_sample():
    head, h, y, p = nn.Linear(20, 3).double(), torch.randn(8, 20).double(), torch.randint(0, 3, (8,)), 0.4
    for K in (1, 5):
        torch.manual_seed(4)
        library = sum(F.cross_entropy(head(F.dropout(h, p)), y) for _ in range(K)) / K
        torch.manual_seed(4)
        ours = 0.0
        for _ in range(K):
            mask = (F.dropout(torch.ones_like(h), p) != 0).double().numpy()
            z = (mask * h.numpy() / (1 - p)) @ head.weight.detach().numpy().T + head.bias.detach().numpy()
            ours += (np.log(np.exp(z).sum(1)) - z[np.arange(8), y.numpy()]).mean() / K
        np.testing.assert_allclose(ours, float(library.detach()), rtol=1e-9)
    spread = []
    for K in (1, 8):
        spread.append(
            np.std(
                [
                    float(sum(F.cross_entropy(head(F.dropout(h, p)), y) for _ in range(K)).detach() / K)
                    for _ in range(400)
                ]
            )
        )
    assert abs(spread[0] / spread[1] - 8**0.5) < 0.8


@holds(
    "DropConnect, multi-sample",
    "Does multi-sample dropout cost $K$ times as much?",
    "What happens to these layers at inference?",
)
def check_runs_of_the_head():
    assert not [name for name in dir(nn) if "connect" in name.lower() or "multisample" in name.lower()]
    backbone, head, runs = nn.Linear(6, 20), nn.Linear(20, 3), []
    for module in (backbone, head):
        module.register_forward_hook(lambda module, inputs, output: runs.append(module))
    x, y, K = torch.randn(8, 6), torch.randint(0, 3, (8,)), 5

    def loss(training):
        h = backbone(x)
        return [F.cross_entropy(head(F.dropout(h, 0.5, training)), y) for _ in range(K)]

    assert len({one.item() for one in loss(True)}) == K
    assert runs.count(backbone) == 1 and runs.count(head) == K
    assert len({one.item() for one in loss(False)}) == 1
    assert torch.equal(F.dropout(head.weight, 0.5, training=False), head.weight)


@holds("Same in train and eval?", "Cost")
def check_draws():
    for kind, function, shape in (
        (nn.Dropout1d, F.dropout1d, (4, 50, 3)),
        (nn.Dropout2d, F.dropout2d, (4, 50, 3, 3)),
        (nn.Dropout3d, F.dropout3d, (4, 50, 3, 3, 3)),
    ):
        x = torch.ones(shape, requires_grad=True)
        masks = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: masks.append(t) or t, lambda t: t):
            kind(0.5)(x)
        assert any(mask.numel() == 4 * 50 for mask in masks)
        assert torch.equal(kind(0.5).eval()(x), x) and (function(x) == 0).any()
    weight = F.dropout(torch.ones(40, 50))  # each of the 2,000 weights by itself
    assert abs(torch.corrcoef(weight)[0, 1:].mean()) < 0.2 and 0 < weight.mean() < 2


@holds("stochastic depth", "DropBlock")
def check_what_the_siblings_drop():
    from torchvision.ops import drop_block2d, stochastic_depth

    branch = stochastic_depth(torch.ones(200, 3, 2, 2), 0.5, "row").flatten(1)
    assert ((branch == 0).all(1) | (branch == 2).all(1)).all() and 0 < branch.mean() < 2
    dropped = (drop_block2d(torch.ones(50, 1, 20, 20), 0.1, 3) == 0).float()
    whole = (F.avg_pool2d(dropped, 3, 1) > 0.999).float()  # where a square of 3x3 is dropped entirely
    squares = F.max_pool2d(F.pad(whole, (2, 2, 2, 2)), 3, 1)
    assert torch.equal(squares, dropped) and 0 < dropped.mean() < 0.5


@check
def check_worked_example():
    stated("3,136", 64 * 7 * 7)
    W, x = np.array([[1.0, 2.0], [1.0, -1.0]]), np.array([3.0, 1.0])
    stated("13", (W[0] ** 2 * x**2).sum())
    assert (W[0] * W[1] * x**2).sum() == 7
    assert torch.equal(
        torch.tensor([[2.0, 4.0], [1.0, 3.0]]) * torch.tensor([[2.0], [0.0]]), torch.tensor([[4.0, 8.0], [0.0, 0.0]])
    )


@pitfall("`Dropout2d` on a 3-D tensor does not do what the shape suggests")
def check_three_dimensional_input_of_dropout2d():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = nn.Dropout2d(0.5)(torch.ones(30, 40, 6))
    assert any("interpreted as shape (N, C, L)" in str(w.message) for w in caught)
    rows = (y == 0).all(-1)
    assert ((y == 0) == rows[..., None]).all() and not (rows == rows[:, :1]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        series = nn.Dropout1d(0.5)(torch.ones(30, 40, 6)).flatten(0, 1)
    assert ((series == 0).all(1) | (series == 2).all(1)).all() and 0 < series.mean() < 2
    one = nn.Dropout2d(0.5)(torch.ones(30, 40, 6).unsqueeze(0))[0].flatten(1)
    assert ((one == 0).all(1) | (one == 2).all(1)).all()


@pitfall("Spatial dropout on text removes words instead of features")
def check_text_layout():
    x = torch.ones(4, 9, 50)
    words = F.dropout1d(x, 0.5)
    assert ((words == 0).all(-1) | (words == 2).all(-1)).all()
    features = F.dropout1d(x.transpose(1, 2), 0.5, True).transpose(1, 2)
    assert torch.equal(F.dropout1d(x, 0.5, False), x)
    for function in (F.dropout1d, F.dropout2d, F.dropout3d):
        assert inspect.signature(function).parameters["training"].default is True
    assert ((features == 0).all(1) | (features == 2).all(1)).all() and 0 < float(features.mean()) < 2


@pitfall("`drop_connect_rate` in EfficientNet code is not DropConnect")
def check_torchvision_calls_it_stochastic_depth():
    """TensorFlow's code with the misleading name is not run."""
    import torchvision

    model = torchvision.models.efficientnet_b0(stochastic_depth_prob=0.9)
    block = next(m for m in model.modules() if getattr(m, "use_res_connect", False) and m.stochastic_depth.p > 0.05)
    block.eval()
    block.stochastic_depth.train()
    x = torch.randn(200, block.block[0][0].in_channels, 2, 2)
    with torch.no_grad():
        same = block(x) == x
    dropped = same.flatten(1).all(1)
    assert 0 < dropped.sum() < 200 and not same[~dropped].any()  # the whole branch of a sample or nothing of it
    weight, v = torch.randn(7, 50), torch.randn(50)
    outputs = [F.dropout(weight, 0.5) @ v for _ in range(50)]
    assert not any((output == 0).any() for output in outputs)  # DropConnect leaves every output alive


@pitfall("The noise of DropConnect is larger than in the paper")
def check_one_mask_for_the_batch():
    weight, x, runs = torch.randn(3, 20), torch.randn(20).expand(64, 20), 400
    shared = torch.stack([F.linear(x, F.dropout(weight, 0.5)).mean(0) for _ in range(runs)])
    masks = [F.dropout(weight.expand(64, 3, 20), 0.5) for _ in range(runs)]
    own = torch.stack([torch.bmm(mask, x[:, :, None])[..., 0].mean(0) for mask in masks])
    assert masks[0].numel() == 64 * weight.numel()
    recipe = [(F.dropout(weight.expand(64, -1, -1), 0.5) @ x[..., None])[..., 0].mean(0) for _ in range(runs)]
    assert 6 < (shared.std(0) / torch.stack(recipe).std(0)).mean() < 10
    assert 6 < (shared.std(0) / own.std(0)).mean() < 10  # the square root of 64
    assert torch.allclose(own.mean(0), weight @ x[0], atol=0.3)
    v = torch.randn(8, 20)  # the recipe without its mask is the layer, sample by sample
    assert torch.allclose((weight.expand(8, -1, -1) @ v[..., None])[..., 0], v @ weight.T, atol=1e-5)


@holds("Is dropout a special case of DropConnect?")
def check_dropout_is_drop_connect_with_whole_columns():
    W, x, m = torch.randn(3, 5).double(), torch.randn(5).double(), torch.tensor([1.0, 0, 1, 0, 1]).double()
    assert torch.allclose(W @ (m * x), (W * m) @ x)
