import inspect
import itertools
import math
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

DROPOUT = r"""
m_i \sim \mathrm{Bernoulli}(1-p), \qquad y_i = \frac{m_i}{1-p}\,x_i \;\;\text{(training)}, \qquad y_i = x_i \;\;\text{(evaluation)}
"""
MOMENTS = r"\mathrm{E}[y_i] = x_i, \qquad \mathrm{Var}[y_i] = \frac{p}{1-p}\,x_i^2"
EXPECTED_ERROR = r"""
\mathrm{E}\left[(t - w^\top y)^2\right] = (t - w^\top x)^2 + \frac{p}{1-p}\sum_{i} w_i^2 x_i^2
"""

sourced(
    "Tompson et al., arXiv 1411.4280, section 3.2: adjacent pixels are correlated, so whole maps are dropped",
    "Dropout2d",
)
sourced(
    "Wan et al. 2013 (dense layers); Merity et al., arXiv 1708.02182, section 2 (recurrent matrices)",
    "DropConnect",
)
sourced("Huang et al., arXiv 1603.09382; Touvron et al., arXiv 2012.12877, section 6 (ViT)", "DropPath")
sourced("Srivastava et al. 2014, JMLR 15, sections 2 and 4", "Why divide by $1-p$ in training?", "Where does it go?")
sourced("Gal and Ghahramani, arXiv 1506.02142, section 4", "What is MC dropout?")


@holds(
    "Input → output",
    "Same in train and eval?",
    "Dropout",
    "Is dropout an activation function?",
    "Why divide by $1-p$ in training?",
)
@formula(DROPOUT)
def check_dropout():
    for shape in [(1000,), (40, 50), (5, 6, 7, 8)]:
        for p in (0.0, 0.1, 0.5, 0.9):
            layer = nn.Dropout(p)
            x = torch.randn(shape, dtype=torch.float64).requires_grad_()
            y = layer(x)
            m = (y.detach() != 0).numpy().astype(float)
            np.testing.assert_allclose(m / (1 - p) * x.detach().numpy(), y.detach().numpy(), rtol=1e-12)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            np.testing.assert_allclose(m / (1 - p), gradient.numpy(), rtol=1e-12)
            assert abs(m.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / m.size) + 1e-12
            assert torch.equal(layer.eval()(x), x)
    x = torch.ones(64)
    assert not torch.equal(F.dropout(x), F.dropout(x))
    assert torch.equal(F.dropout(x, p=1.0), torch.zeros(64)) and F.dropout(torch.tensor([torch.inf]), p=1.0).isnan()
    rows = F.dropout(torch.ones(20_000, 2))
    assert abs(float(torch.corrcoef(rows.T)[0, 1])) < 0.03


@formula(MOMENTS)
def check_moments():
    for p in (0.1, 0.2, 0.5, 0.8):
        for value in (-2.0, 0.0, 3.0):
            y = F.dropout(torch.full((1_000_000,), value, dtype=torch.float64), p)
            assert abs(float(y.mean()) - value) < 0.02
            assert abs(float(y.var()) - p / (1 - p) * value**2) < 0.01 * (1 + p / (1 - p) * value**2)


@formula(EXPECTED_ERROR)
def check_expected_error():
    for size in (1, 3, 6):
        for p in (0.2, 0.5):
            x, w, t = np.random.randn(size), np.random.randn(size), 0.7
            ours = (t - w @ x) ** 2 + p / (1 - p) * np.sum(w**2 * x**2)
            exact = 0.0
            for mask in itertools.product((0, 1), repeat=size):
                kept = sum(mask)
                exact += (1 - p) ** kept * p ** (size - kept) * (t - w @ (np.array(mask) / (1 - p) * x)) ** 2
            assert abs(ours - exact) < 1e-9
            y = F.dropout(torch.tensor(x).expand(400_000, size), p)
            errors = (t - y @ torch.tensor(w)) ** 2
            assert abs(float(errors.mean()) - ours) < 6 * float(errors.std()) / math.sqrt(400_000)


@holds("Parameters", "Defaults", "Cost")
def check_facts():
    layer = nn.Dropout()
    assert layer.p == 0.5 and layer.inplace is False and list(layer.parameters()) == []
    raises(RuntimeError, lambda: F.dropout(torch.arange(5)))
    assert abs((F.dropout(torch.ones(100_000), 0.2) == 0).float().mean() - 0.2) < 0.01  # p is the probability to drop
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = layer(torch.ones(500, requires_grad=True))
    assert any(t.shape == (500,) and torch.equal(t != 0, y != 0) for t in kept)  # the mask waits for the backward pass


@check
def check_worked_example():
    stated("3.75", 3 / 0.8)
    stated("2.25", 0.8 * 3.75**2 - 9)
    assert torch.allclose(F.dropout(torch.full((1000,), 3.0), 0.2).unique(), torch.tensor([0.0, 3.75]))
    assert math.isclose(0.8 * 3.75**2, 11.25) and math.isclose(0.2 / 0.8, 0.25)


@pitfall("The same input gives a different prediction each time")
def check_train_mode_predicts_at_random():
    model, x = nn.Sequential(nn.Linear(4, 50), nn.Dropout(), nn.Linear(50, 2)), torch.randn(3, 4)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pitfall("`model.eval()` does not switch dropout off")
def check_when_it_is_active():
    x = torch.ones(200)
    assert inspect.signature(F.dropout).parameters["training"].default is True

    class Net(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5)

    assert (Net().eval()(x) == 0).any()

    class Cured(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, training=self.training)

    class Attention(nn.Module):
        def forward(self, q, p=0.5):
            return F.scaled_dot_product_attention(q, q, q, dropout_p=p if self.training else 0.0)

    class Fresh(nn.Module):
        def forward(self, x):
            return nn.Dropout(0.5)(x)

    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.drops = [nn.Dropout(0.5)]

        def forward(self, x):
            return self.drops[0](x)

    class Assigned(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(x)

    assert (Fresh().eval()(x) == 0).any() and (Listed().eval()(x) == 0).any()
    for cured in (Cured(), Assigned()):
        assert (cured(x) == 0).any() and torch.equal(cured.eval()(x), x)
    q = torch.randn(1, 4, 8)
    plain = F.scaled_dot_product_attention(q, q, q)
    assert not torch.equal(F.scaled_dot_product_attention(q, q, q, dropout_p=0.5), plain)
    assert torch.equal(Attention().eval()(q), plain) and not torch.equal(Attention()(q), plain)


@pitfall("Far too much, or too little, is dropped")
def check_keep_probability():
    x = torch.ones(100_000)
    for keep in (0.8, 0.3):
        assert abs((F.dropout(x, keep) == 0).float().mean() - keep) < 0.01
        assert abs((F.dropout(x, 1 - keep) != 0).float().mean() - keep) < 0.01


@pitfall("`nn.LSTM(..., dropout=0.5)` changes nothing")
def check_lstm():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        single = nn.LSTM(3, 4, dropout=0.5)
    assert any("num_layers greater than 1" in str(one.message) for one in caught)
    x = torch.randn(5, 2, 3)
    assert torch.equal(single(x)[0], single(x)[0])
    stacked = nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    assert not torch.equal(stacked(x)[0], stacked(x)[0])
    assert not (stacked(x)[0] == 0).any()
    drop = nn.Dropout(0.5)
    packed = single(nn.utils.rnn.pack_padded_sequence(x, [5, 3]))[0]
    raises(TypeError, lambda: drop(packed), "PackedSequence")
    unpacked = nn.utils.rnn.pad_packed_sequence(packed)[0]
    for read in (lambda: single(x)[0], lambda: single(x)[1][0], lambda: unpacked):
        assert not torch.equal(drop(read()).repeat(9, 1, 1), torch.cat([drop(read()) for _ in range(9)]))


@holds("Dropout2d", "DropConnect", "DropPath", "`nn.AlphaDropout`")
def check_siblings():
    channels = F.dropout2d(torch.ones(8, 16, 4, 4))
    assert all(torch.equal(c, c[0, 0].expand(4, 4)) for c in channels.flatten(0, 1))
    assert set(channels.amax((2, 3)).flatten().tolist()) == {0.0, 2.0}
    weight = F.dropout(torch.ones(30, 40))  # DropConnect: the entries of a weight have coins of their own
    assert ((weight == 0).any(0) & (weight != 0).any(0)).all() and ((weight == 0).any(1) & (weight != 0).any(1)).all()
    from torchvision.ops import stochastic_depth

    branch = stochastic_depth(torch.ones(200, 3, 2, 2), 0.5, "row").flatten(1)
    assert ((branch == 0).all(1) | (branch == 2).all(1)).all() and 0 < branch.mean() < 2
    z = torch.randn(1_000_000, dtype=torch.float64)
    for p in (0.1, 0.5):
        y = nn.AlphaDropout(p)(z)
        assert abs(float(y.mean())) < 0.01 and abs(float(y.var()) - 1) < 0.01
    value = F.selu(torch.tensor(-1e4, dtype=torch.float64)).item()
    stated("−1.7581", value)
    p = 0.5
    a = ((1 - p) * (1 + p * value**2)) ** -0.5
    dropped = nn.AlphaDropout(p)(torch.full((1000,), 7.0, dtype=torch.float64)).unique()
    assert torch.allclose(
        dropped, torch.tensor([a * value - a * p * value, a * 7.0 - a * p * value], dtype=torch.float64), atol=1e-6
    )
    stated("0.1", nn.TransformerEncoderLayer(8, 2).dropout.p)


@holds("Is the evaluation output the mean of all thinned networks?")
def check_mean_of_thinned_networks():
    outputs = [
        F.relu(2 * torch.tensor(float(a)) - 2 * torch.tensor(float(b))) for a, b in itertools.product((0, 1), repeat=2)
    ]
    assert sorted(map(float, outputs)) == [0, 0, 0, 2]
    stated("0.5", sum(outputs) / 4)
    y = F.dropout(torch.ones(200_000, 2))
    assert abs(float(F.relu(y[:, 0] - y[:, 1]).mean()) - 0.5) < 0.01
    w = torch.randn(2)
    assert torch.allclose((y @ w).mean(), w.sum(), atol=0.03)


@holds("What is MC dropout?")
def check_only_dropout_in_train_mode():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout()).eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    x = torch.randn(16, 4)
    before = model[1].running_mean.clone()
    assert not torch.equal(model(x), model(x)) and torch.equal(model[1].running_mean, before)
    passes = torch.stack([model(x) for _ in range(20)])
    assert (passes.std(0) > 0).any() and (model.eval()(x) == model(x)).all()
    q = torch.randn(2, 3, 8)
    for own, run in (
        (nn.LSTM(8, 8, num_layers=2, dropout=0.5), lambda layer: layer(q)[0]),
        (nn.GRU(8, 8, num_layers=2, dropout=0.5), lambda layer: layer(q)[0]),
        (nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), lambda layer: layer(q, q, q)[0]),
        (nn.TransformerEncoderLayer(8, 2, dropout=0.5, batch_first=True), lambda layer: layer(q)),
    ):
        own.eval()
        for module in own.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        with torch.no_grad():
            assert torch.equal(run(own), run(own)) and not torch.equal(run(own.train()), run(own))


@holds("Where does it go?")
def check_where_it_goes():
    x = torch.randn(1000)
    torch.manual_seed(1)
    before = F.relu(F.dropout(x))
    torch.manual_seed(1)
    after = F.dropout(F.relu(x))
    assert torch.equal(before, after)
    layer = nn.TransformerEncoderLayer(8, 2, dropout=0.3)
    assert layer.self_attn.dropout == 0.3
    assert [layer.dropout.p, layer.dropout1.p, layer.dropout2.p] == [0.3, 0.3, 0.3]
    x = torch.randn(5, 2, 8)
    layer = nn.TransformerEncoderLayer(8, 2, dropout=0.0)
    layer.dropout1.p = layer.dropout2.p = 1.0  # both sublayers vanish before the residual sum
    assert torch.allclose(layer(x), layer.norm2(layer.norm1(x)), atol=1e-5)
    layer.dropout2.p, layer.dropout.p = 0.0, 1.0  # what goes into the second linear layer vanishes
    assert torch.allclose(layer(x), layer.norm2(layer.norm1(x) + layer.linear2.bias), atol=1e-5)
    attention = nn.MultiheadAttention(8, 2, dropout=0.5)
    weights = attention(x, x, x, average_attn_weights=False)[1]
    assert 0 < (weights == 0).float().mean() < 1 and (attention.eval()(x, x, x)[1] > 0).all()


@pitfall("The training loss is above the validation loss")
def check_losses_are_measured_in_two_modes():
    pixels, classes = handwritten_digits()
    order = torch.randperm(len(classes))
    train, validation = ((pixels[part], classes[part]) for part in (order[:400], order[1200:]))
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.8), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        training = F.cross_entropy(model(train[0]), train[1])
        training.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        compared, validated = (F.cross_entropy(model(x), y) for x, y in (train, validation))
    assert training > 1.5 * validated and compared < 0.8 * validated
