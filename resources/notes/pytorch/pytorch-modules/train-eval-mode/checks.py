import copy
import inspect
import pickle
import types
import warnings

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

DROPOUT = (
    r"\operatorname{Dropout}(x)_i = \begin{cases} m_i x_i / (1 - p) & \text{train} \\ x_i & \text{eval} \end{cases}"
)
BATCH_NORM = r"""
\operatorname{BN}(x) = \gamma \, \frac{x - \mu}{\sqrt{v + \varepsilon}} + \beta, \qquad
(\mu, v) = \begin{cases} (\mu_B, \sigma_B^2) & \text{train} \\ (\hat\mu, \hat v) & \text{eval} \end{cases}
"""
UPDATE = r"""
\hat\mu \leftarrow 0.9 \, \hat\mu + 0.1 \, \mu_B, \qquad \hat v \leftarrow 0.9 \, \hat v + 0.1 \, \frac{n}{n - 1} \sigma_B^2
"""


sourced(
    "Gal and Ghahramani, Dropout as a Bayesian Approximation, abstract and section 4",
    "When should dropout stay on at prediction?",
)


@holds("Why does dropout scale in train mode?")
@formula(DROPOUT)
def check_dropout():
    for shape, p in [((100_000,), 0.5), ((200, 500), 0.2), ((50, 40, 50), 0.9)]:
        layer, x = nn.Dropout(p), torch.rand(shape, dtype=torch.float64) + 0.5
        out = layer.train()(x).numpy()
        m = (out != 0).astype(float)
        np.testing.assert_allclose(out, m * x.numpy() / (1 - p), rtol=1e-12)
        assert abs(m.mean() - (1 - p)) < 0.01 and abs(out.mean() / float(x.mean()) - 1) < 0.05
        assert torch.equal(layer.eval()(x), x)
    x = torch.ones(5)
    assert torch.equal(nn.Dropout(0.0)(x), x) and torch.equal(nn.Dropout(1.0)(x), torch.zeros(5))


@formula(BATCH_NORM, UPDATE)
def check_batch_norm():
    for make, shape in [
        (nn.BatchNorm1d, (6, 3)),
        (nn.BatchNorm1d, (2, 3, 5)),
        (nn.BatchNorm2d, (4, 3, 2, 7)),
        (nn.BatchNorm3d, (2, 3, 2, 2, 2)),
    ]:
        layer = make(3, dtype=torch.float64)
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
        axes = tuple(axis for axis in range(len(shape)) if axis != 1)
        wide = (1, 3) + (1,) * (len(shape) - 2)
        gamma, beta = (p.detach().numpy().reshape(wide) for p in (layer.weight, layer.bias))
        mean_hat, v_hat = np.zeros(3), np.ones(3)

        def ours(x, mean, v):
            return gamma * (x - mean.reshape(wide)) / np.sqrt(v.reshape(wide) + layer.eps) + beta

        for _ in range(3):
            x = torch.randn(shape, dtype=torch.float64) * 2 + 5
            mean, variance = x.numpy().mean(axes), x.numpy().var(axes)
            np.testing.assert_allclose(ours(x.numpy(), mean, variance), layer.train()(x).detach().numpy(), atol=1e-10)
            n = x.numel() // 3
            mean_hat, v_hat = 0.9 * mean_hat + 0.1 * mean, 0.9 * v_hat + 0.1 * n / (n - 1) * variance
            np.testing.assert_allclose(ours(x.numpy(), mean_hat, v_hat), layer.eval()(x).detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(mean_hat, layer.running_mean.numpy())
        np.testing.assert_allclose(v_hat, layer.running_var.numpy())
    assert layer.momentum == 0.1


@check
def check_worked_example():
    layer, x = nn.BatchNorm1d(1, dtype=torch.float64), torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    assert torch.allclose(layer(x).detach(), torch.tensor([[-1.0], [1.0]]).double(), atol=1e-4)
    stated("0.2", layer.running_mean)
    stated("1.1", layer.running_var)
    stated("2.6697", layer.eval()(torch.tensor([[3.0]], dtype=torch.float64)).detach())


@check
def check_without_tracking_eval_uses_the_batch():
    layer, x = nn.BatchNorm1d(3, track_running_stats=False), torch.randn(8, 3) * 4 + 1
    assert torch.equal(layer.train()(x), layer.eval()(x)) and layer.running_mean is None


@holds("What it sets", "Default", "Not touched", "Is the mode saved with the model?")
def check_the_flag():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.ReLU()))
    assert all(part.training for part in model.modules())
    assert model.eval() is model and not any(part.training for part in model.modules())
    assert model.train(False) is model and not model[1][0].training
    assert not any("training" in key for key in model.state_dict())
    before = [p.clone() for p in model.train().parameters()]
    assert all(torch.equal(p, q) and q.requires_grad for p, q in zip(before, model.eval().parameters()))
    assert torch.is_grad_enabled() and model(torch.ones(1, 2)).grad_fn is not None
    rebuilt = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.ReLU()))
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.training and not rebuilt.eval()[1][0].training
    assert not copy.deepcopy(model).training and not pickle.loads(pickle.dumps(model)).training


def reacts(layer, *inputs):
    """Whether the output in train mode differs from the output in eval mode."""

    def result(out):
        return out[0] if isinstance(out, tuple) else out

    trained = [result(layer.train()(*inputs)) for _ in range(2)]
    return not all(torch.allclose(one, result(layer.eval()(*inputs)), atol=1e-5) for one in trained)


@holds("Who reacts", "Who does not")
def check_who_reacts():
    x, image, steps = torch.randn(8, 6) * 3, torch.randn(4, 6, 5, 5) * 3, torch.randn(5, 4, 6)
    for layer, given in [
        (nn.Dropout(), (x,)),
        (nn.Dropout1d(), (torch.randn(4, 6, 5),)),
        (nn.Dropout2d(), (image,)),
        (nn.Dropout3d(), (image[:, :, None],)),
        (nn.AlphaDropout(), (x,)),
        (nn.FeatureAlphaDropout(), (image,)),
        (nn.RReLU(), (x,)),
        (torchvision.ops.StochasticDepth(0.5, "row"), (x,)),
        (nn.BatchNorm1d(6), (x,)),
        (nn.BatchNorm2d(6), (image,)),
        (nn.BatchNorm3d(6), (image[:, :, None],)),
        (nn.InstanceNorm2d(6, track_running_stats=True), (image,)),
        (nn.LSTM(6, 6, 2, dropout=0.5), (steps,)),
        (nn.GRU(6, 6, 2, dropout=0.5), (steps,)),
        (nn.RNN(6, 6, 2, dropout=0.5), (steps,)),
        (nn.MultiheadAttention(6, 2, dropout=0.5), (steps, steps, steps)),
        (nn.TransformerEncoderLayer(6, 2, 12), (steps,)),
        (nn.TransformerDecoderLayer(6, 2, 12), (steps, steps)),
    ]:
        assert reacts(layer, *given), layer
    for layer, given in [
        (nn.Linear(6, 6), x),
        (nn.Conv2d(6, 6, 3), image),
        (nn.Embedding(9, 4), torch.arange(9)),
        (nn.ReLU(), x),
        (nn.GELU(), x),
        (nn.Softmax(-1), x),
        (nn.LayerNorm(6), x),
        (nn.GroupNorm(2, 6), image),
        (nn.InstanceNorm2d(6), image),
        (torchvision.ops.FrozenBatchNorm2d(6), image),
        (nn.LSTM(6, 6), steps),
        (nn.MultiheadAttention(6, 2), None),
    ]:
        assert not reacts(layer, *((steps,) * 3 if given is None else (given,))), layer


@check
def check_eval_keeps_autograd_and_can_be_trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1)).eval()
    before = model[0].weight.clone()
    out = model(torch.randn(8, 3))
    assert out.requires_grad and out.grad_fn is not None
    out.sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(before, model[0].weight) and model[1].weight.grad is not None


@holds("`train()`", "`eval()`", "`eval()` + `no_grad()`", "`train()` + `no_grad()`")
def check_table_of_modes():
    x = torch.randn(16, 3) * 2 + 1
    for train in (True, False):
        for graph in (True, False):
            norm, drop = nn.BatchNorm1d(3).train(train), nn.Dropout().train(train)
            with torch.set_grad_enabled(graph):
                out = norm(x)
                dropped = drop(x)
            assert out.requires_grad == graph
            assert torch.equal(norm.running_mean, torch.zeros(3)) != train
            assert torch.equal(dropped, x) != train
            mean, variance = (x.mean(0), x.var(0, correction=0)) if train else (torch.zeros(3), torch.ones(3))
            assert torch.allclose(out, (x - mean) / (variance + norm.eps).sqrt(), atol=1e-5)
    model, image = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 1)).eval(), torch.randn(1, 3)
    saliency = [torch.autograd.grad(model(image.requires_grad_()).sum(), image)[0] for _ in range(2)]
    assert torch.equal(*saliency)
    norm = nn.BatchNorm1d(3)
    with torch.no_grad():
        for _ in range(100):
            norm(torch.randn(256, 3) + 5)
    assert (norm.running_mean - 5).abs().max() < 0.3
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3))  # with dropout the variance of train mode is another one
    with torch.no_grad():
        for _ in range(100):
            model(torch.randn(256, 3) + 5)
    assert (model[1].running_var > 10).all() and (norm.running_var < 2).all()


@holds("Where do the calls belong in a training loop?")
def check_the_loop():
    for every_epoch in (True, False):
        model, x = nn.Sequential(nn.BatchNorm1d(100), nn.Dropout()), torch.randn(8, 100) + 5
        model.train()
        for epoch in range(2):
            if every_epoch:
                model.train()
            before = model[0].running_mean.clone()
            dropped = (model(x) == 0).any()
            trains = bool(dropped) and not torch.equal(before, model[0].running_mean)
            assert trains is (every_epoch or epoch == 0)
            model.eval()
            assert torch.equal(model(x), model(x))


def distance_to_the_truth(batches, size):
    """How far the running statistics of 200 channels are from mean 5 and variance 4, in units of 2 and of 4."""
    layer = nn.BatchNorm1d(200)
    for _ in range(batches):
        layer(5 + 2 * torch.randn(size, 200))
    return ((layer.running_mean - 5) / 2).square().mean().sqrt(), ((layer.running_var - 4) / 4).square().mean().sqrt()


@pitfall('"`eval()` turns batch norm off", yet the outputs jump')
def check_poor_running_statistics():
    norm, x = nn.BatchNorm1d(20), 5 + 2 * torch.randn(64, 20)
    trained = norm(x)
    evaluated = norm.eval()(x)
    assert not torch.equal(evaluated, x) and (evaluated - trained).mean() > 1
    norm.train()
    for _ in range(100):
        norm(5 + 2 * torch.randn(64, 20))
    assert (norm.eval()(x) - trained).abs().mean() < 0.3
    few, long, tiny = distance_to_the_truth(3, 64), distance_to_the_truth(100, 64), distance_to_the_truth(100, 2)
    for error in (0, 1):
        assert long[error] < 0.08 and few[error] > 4 * long[error] and tiny[error] > 3 * long[error]
    group = nn.GroupNorm(1, 20)
    assert torch.equal(group.train()(x), group.eval()(x))
    alone = [nn.BatchNorm1d(20)(torch.cat([x[:1], x[i : i + 1]]))[0] for i in (1, 2)]
    assert not torch.allclose(*alone, atol=0.1)


@pitfall('"No gradients in eval mode", yet validation runs out of memory')
def check_memory_of_validation():
    model, x, kept = nn.Sequential(nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 1)).eval(), torch.randn(8, 30), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        assert model(x).grad_fn is not None and sum(kept) >= 2 * 8 * 30
        for mode in (torch.no_grad, torch.inference_mode):
            kept.clear()
            with mode():
                assert model(x).grad_fn is None and not kept


@pitfall("Predictions stay random after `eval()`")
def check_functional_dropout_ignores_the_flag():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout()

        def forward(self, x):
            return F.dropout(x), nn.Dropout()(x), F.dropout(x, 0.5, training=self.training), self.drop(x)

    x = torch.ones(100)
    always, built_late, *right = Net().eval()(x)
    assert not torch.equal(always, x) and not torch.equal(built_late, x) and all(torch.equal(one, x) for one in right)
    assert not any(torch.equal(one, x) for one in Net().train()(x))


@pitfall("A frozen backbone drifts")
def check_frozen_batch_norm_drifts():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).requires_grad_(False)

        def forward(self, x):
            return self.backbone(x)

    class Frozen(Model):
        def train(self, mode=True):
            super().train(mode)
            self.backbone.eval()
            return self

    for kind, calls_train, moves in ((Model, True, True), (Frozen, False, True), (Frozen, True, False)):
        model = kind()
        if calls_train:
            model.backbone[1].eval()
            model.train()
        model(torch.randn(8, 3) + 5)
        assert torch.equal(model.backbone[1].running_mean, torch.zeros(3)) != moves and model.training


@pitfall('"Expected more than 1 value per channel when training"')
def check_one_value_per_channel():
    layer = nn.BatchNorm1d(3)
    raises(ValueError, lambda: layer(torch.randn(1, 3)), "Expected more than 1 value per channel when training")
    layer.eval()(torch.randn(1, 3))
    nn.BatchNorm2d(3)(torch.randn(1, 3, 2, 2))

    def epoch(**options):
        for batch in torch.utils.data.DataLoader(torch.randn(9, 3), **options):
            layer.train()(batch)

    for options in ({"batch_size": 1, "drop_last": True}, {"batch_size": 4}):
        raises(ValueError, lambda: epoch(**options), "Expected more than 1 value per channel when training")
    epoch(batch_size=4, drop_last=True)


@holds("When should dropout stay on at prediction?")
def check_monte_carlo_dropout():
    model = nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 1)).eval()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.train()
    x = torch.randn(1, 3)
    assert torch.stack([model(x) for _ in range(8)]).std() > 0 and not model[1].training
    steps = torch.randn(5, 2, 6)
    for layer in (nn.LSTM(6, 6, 2, dropout=0.5), nn.TransformerEncoderLayer(6, 2, 12)):
        outer = nn.ModuleList([layer]).eval()
        run = lambda: layer(steps)[0].detach()
        assert torch.equal(run(), run())
        layer.train()
        assert not torch.equal(run(), run()) and not outer.training


@check
def check_one_recurrent_layer_has_no_dropout():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.LSTM(6, 6, 1, dropout=0.5)
    assert not reacts(layer, torch.randn(5, 4, 6))


@holds("Who reacts")
def check_models_that_return_something_else():
    with torch.device("meta"):
        for make, size in ((torchvision.models.googlenet, 224), (torchvision.models.inception_v3, 299)):
            model, x = make(weights=None, init_weights=False), torch.zeros(2, 3, size, size)
            assert isinstance(model.train()(x), tuple) and isinstance(model.eval()(x), torch.Tensor)
        bare = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False)
        assert isinstance(bare.train()(torch.zeros(2, 3, 224, 224)), torch.Tensor)
    assert 'aux_logits", False)' in inspect.getsource(torchvision.models.googlenet)  # the default with weights
    detection = torchvision.models.detection
    detector = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    images = [torch.rand(3, 32, 32) for _ in range(2)]
    truth = [{"boxes": torch.tensor([[2.0, 2.0, 20.0, 20.0]]), "labels": torch.tensor([1])} for _ in images]
    # In train mode losses; the boxes of eval mode need torchvision's C++ operators.
    assert set(detector(images, truth)) == {"bbox_regression", "classification"}
    rcnn = detection.generalized_rcnn.GeneralizedRCNN
    for kind in (rcnn, detection.retinanet.RetinaNet, detection.fcos.FCOS, detection.ssd.SSD):
        for training, returned in ((True, "losses"), (False, "boxes")):
            assert kind.eager_outputs(types.SimpleNamespace(training=training), "losses", "boxes") == returned


@check
def check_fast_path_of_the_encoder():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
        x, padded = (
            torch.randn(2, 5, 8),
            torch.tensor([[False, False, False, True, True], [False, False, False, False, True]]),
        )
        with_graph = model(x, src_key_padding_mask=padded)
        with torch.no_grad():
            without = model(x, src_key_padding_mask=padded)
    assert torch.allclose(with_graph[~padded], without[~padded], atol=1e-5)
    soft = -(torch.arange(5.0)[:, None] - torch.arange(5.0)).abs()
    with torch.no_grad():
        assert torch.allclose(model(x, mask=soft), model(x, mask=soft != 0), atol=1e-5)
    assert not torch.allclose(model(x, mask=soft), model(x, mask=soft != 0), atol=1e-3)
    assert (without[padded] == 0).all() and (with_graph[padded] != 0).any()
