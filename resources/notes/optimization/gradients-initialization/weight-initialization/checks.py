import inspect
import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits, minibatch_losses

FANS = r"n_\text{in} = s_1 \prod_j k_j, \qquad n_\text{out} = s_0 \prod_j k_j"
VARIANCES = r"""
\sigma_\text{Xavier}^2 = \frac{2 g^2}{n_\text{in} + n_\text{out}}, \qquad
\sigma_\text{Kaiming}^2 = \frac{g^2}{n}, \qquad g_\text{leaky} = \sqrt{\frac{2}{1 + a^2}}
"""
SECOND_MOMENT = r"\mathrm{E}[y_i^2] = \sigma^2 \sum_{j=1}^{n_\text{in}} x_j^2"
sourced(
    "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, section 4.2",
    "Xavier (Glorot)",
    "Xavier",
    "Why does Xavier average both fans?",
)
sourced("He et al., Delving Deep into Rectifiers, arXiv 1502.01852, section 2.2", "Kaiming `fan_in`")
sourced(
    "Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear neural networks, arXiv 1312.6120",
    "orthogonal",
)
sourced(
    "Radford et al., Improving Language Understanding by Generative Pre-Training, 2018; "
    "google-research/bert modeling.py, create_initializer",
    "normal, std 0.02",
)
SHAPES = [(700, 300), (90, 2500), (150, 60, 3, 5), (64, 128, 7), (40, 50, 2, 3, 4)]


def fans(shape):
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def leaky_gain(a):
    return math.sqrt(2 / (1 + a**2))


def assert_spread(sample, sigma, bound=None):
    """The sample has standard deviation sigma, mean 0, and fills the interval of a uniform law up to its bound."""
    assert abs(float(sample.std()) / sigma - 1) < 0.015, (float(sample.std()), sigma)
    assert abs(float(sample.mean())) < 0.015 * sigma
    if bound is None:
        assert float(sample.abs().max()) > 3 * sigma
    else:
        assert 0.999 * bound < float(sample.abs().max()) <= bound * (1 + 1e-6)


@formula(FANS, VARIANCES)
@holds("Xavier (Glorot)", "Kaiming (He)")
def check_equals_the_library():
    for shape in SHAPES:
        n_in, n_out = fans(shape)
        assert (n_in, n_out) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        w = torch.empty(shape)
        for g in (1.0, 5 / 3):
            sigma = math.sqrt(2 * g**2 / (n_in + n_out))
            assert_spread(nn.init.xavier_normal_(w, gain=g), sigma)
            assert_spread(nn.init.xavier_uniform_(w, gain=g), sigma, math.sqrt(3) * sigma)
        for a in (0.0, 0.5, math.sqrt(5)):
            assert math.isclose(leaky_gain(a), nn.init.calculate_gain("leaky_relu", a))
            for mode, n in (("fan_in", n_in), ("fan_out", n_out)):
                sigma = leaky_gain(a) / math.sqrt(n)
                assert_spread(nn.init.kaiming_normal_(w, a=a, mode=mode), sigma)
                assert_spread(nn.init.kaiming_uniform_(w, a=a, mode=mode), sigma, math.sqrt(3) * sigma)
        assert_spread(nn.init.kaiming_normal_(w, nonlinearity="relu"), math.sqrt(2 / n_in))


@formula(SECOND_MOMENT)
def check_second_moment_over_random_weights():
    for n, sigma in ((3, 0.7), (40, 0.05)):
        x = torch.randn(n) + 1
        for draw in (
            lambda w: nn.init.normal_(w, std=sigma),
            lambda w: nn.init.uniform_(w, -math.sqrt(3) * sigma, math.sqrt(3) * sigma),
        ):
            layer = nn.Linear(n, 200000, bias=False)
            draw(layer.weight)
            y = layer(x).detach()
            wanted = sigma**2 * float((x**2).sum())
            assert abs(float((y**2).mean()) / wanted - 1) < 0.02
            assert abs(float((torch.relu(y) ** 2).mean()) / wanted - 0.5) < 0.01


@holds("Why does Xavier average both fans?", "Xavier")
def check_backward_has_the_other_fan():
    for sigma, forward, backward in ((100**-0.5, 1, 9), (900**-0.5, 1 / 9, 1), ((2 / 1000) ** 0.5, 0.2, 1.8)):
        both = nn.Linear(100, 900, bias=False)  # 1 / n_in, 1 / n_out, and Xavier in between
        nn.init.normal_(both.weight, std=sigma)
        x = torch.randn(500, 100, requires_grad=True)
        y = both(x)
        (back,) = torch.autograd.grad(y, x, torch.randn_like(y))
        assert abs(y.pow(2).mean().item() / forward - 1) < 0.1 and abs(back.pow(2).mean().item() / backward - 1) < 0.1
    layer = nn.Linear(100, 900, bias=False)
    nn.init.normal_(layer.weight, std=0.1)
    x = torch.randn(400, 100, requires_grad=True)
    layer(x).backward(torch.ones(400, 900))
    assert abs(float((x.grad**2).mean()) / (900 * 0.01) - 1) < 0.3


@check
def check_worked_example():
    stated("0.0625", math.sqrt(2 / 512))
    w = nn.init.kaiming_uniform_(torch.empty(2000, 512), nonlinearity="relu")
    stated("0.1083", math.sqrt(3) * 0.0625)
    assert 0.1083 * 0.999 < float(w.abs().max()) <= 0.10826
    default = nn.Linear(512, 2000)
    stated("0.0442", 1 / math.sqrt(512))
    assert 0.04415 < float(default.weight.detach().abs().max()) <= 1 / math.sqrt(512) and 0.043 < float(
        default.bias.detach().abs().max()
    ) <= 1 / math.sqrt(512)
    stated("0.0255", 1 / math.sqrt(3 * 512))
    assert abs(float(default.weight.detach().std()) - 0.0255) < 0.0001
    x = torch.randn(500, 512)
    square = (torch.relu(x @ default.weight.detach().T) ** 2).mean() / (x**2).mean()
    assert abs(float(square) - 1 / 6) < 0.01
    assert abs(512 * 0.0255**2 / 2 - 1 / 6) < 1e-3


@holds("Input → output", "Kaiming (He)", "Default of `nn.Linear`, `nn.Conv2d`", "Same in train and eval?", "Xavier")
def check_defaults():
    built = nn.Linear(4, 3)
    before = built.weight.detach().clone()
    assert torch.equal(before, built.train().weight) and torch.equal(before, built.eval().weight)
    raises(NotImplementedError, lambda: nn.init.xavier_normal_(torch.empty(3, 4, dtype=torch.int64)))
    kaiming = {n: p.default for n, p in inspect.signature(nn.init.kaiming_normal_).parameters.items()}
    assert (kaiming["a"], kaiming["mode"], kaiming["nonlinearity"]) == (0, "fan_in", "leaky_relu")
    assert inspect.signature(nn.init.xavier_uniform_).parameters["gain"].default == 1.0
    assert nn.init.calculate_gain("leaky_relu", 0) == nn.init.calculate_gain("relu") == math.sqrt(2)
    assert nn.init.calculate_gain("linear") == 1 and nn.init.calculate_gain("tanh") == 5 / 3
    w = torch.empty(3, 4)
    assert nn.init.xavier_normal_(w) is w
    raises(ValueError, lambda: nn.init.kaiming_normal_(torch.empty(4)), "fewer than 2 dimensions")
    bound = 1 / math.sqrt(16 * 9)
    conv = nn.Conv2d(16, 500, 3)
    for values in (conv.weight, conv.bias):
        assert 0.97 * bound < float(values.detach().abs().max()) <= bound
    attention = nn.MultiheadAttention(64, 4).in_proj_weight
    limit = math.sqrt(6 / (64 + 192))
    assert 0.99 * limit < float(attention.detach().abs().max()) <= limit
    assert math.isclose(leaky_gain(math.sqrt(5)) ** 2 / leaky_gain(0) ** 2, 1 / 6)
    assert math.isclose(math.sqrt(3) * leaky_gain(math.sqrt(5)), 1.0)


class Layer(nn.Module):
    """Linear and ReLU, with layer normalization before or a residual path around them if wanted."""

    def __init__(self, width, norm, residual):
        super().__init__()
        self.linear, self.residual = nn.Linear(width, width), residual
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()

    def forward(self, h):
        new = torch.relu(self.linear(self.norm(h)))
        return h + new if self.residual else new


@pitfall("A deep ReLU network without normalization may hardly learn")
def check_twenty_layers_on_digits():
    pixels, classes = handwritten_digits()
    losses = {}
    adam, sgd, fast = (torch.optim.Adam, 1e-3), (torch.optim.SGD, 0.05), (torch.optim.SGD, 0.3)
    for name, norm, residual, depth, steps, (kind, rate) in (
        *(("default", False, False, 20, 60, adam), ("Kaiming", False, False, 20, 60, adam)),
        ("Kaiming, SGD", False, False, 20, 60, fast),
        *(("both", True, True, 50, 25, adam), ("norm alone", True, False, 50, 25, adam)),
        *(("both, SGD", True, True, 20, 25, sgd), ("residual alone, SGD", False, True, 20, 25, sgd)),
        ("both, SGD at 0.3", True, True, 20, 25, fast),
    ):
        model = nn.Sequential(*(Layer(64, norm, residual) for _ in range(depth)), nn.Linear(64, 10))
        if name.startswith("Kaiming"):
            for layer in model[:-1]:
                nn.init.kaiming_normal_(layer.linear.weight, nonlinearity="relu")
        losses[name] = minibatch_losses(model, kind(model.parameters(), rate), pixels, classes, 128, steps)[-1]
    assert not losses.pop("Kaiming, SGD") < 1.8 and not losses.pop("both, SGD at 0.3") < 1.8
    assert losses.pop("default") > 2.2 and losses.pop("norm alone") > 1.9, losses
    assert not losses.pop("residual alone, SGD") < 2 and max(losses.values()) < 1.5, losses


@pitfall("All units of a layer stay equal")
def check_constant_weights_stay_equal():
    def trained(constant, activation=nn.Tanh):
        model = nn.Sequential(nn.Linear(3, 5), activation(), nn.Linear(5, 1))
        for p in model.parameters():
            if constant is not None or p.ndim == 1:
                nn.init.constant_(p, constant or 0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.randn(20, 3)
        descend(optimizer, lambda: ((model(x) - x[:, :1] * 2) ** 2).mean(), 50)
        return model

    rows = trained(0.3)[0].weight.detach()
    assert torch.allclose(rows, rows[:1].expand_as(rows), atol=1e-5) and not torch.allclose(
        rows, torch.full_like(rows, 0.3)
    )
    layer = nn.Linear(3, 5)
    nn.init.constant_(layer.weight, 0.3)
    assert layer(torch.ones(3)).detach().unique().numel() == 5  # the default random biases still tell the units apart
    for activation in (nn.Tanh, nn.ReLU):
        zeros = trained(0.0, activation)
        assert all((p == 0).all() for p in list(zeros.parameters())[:-1]) and float(zeros[2].bias.detach().abs()) > 0
    drawn = trained(None)[0].weight.detach()  # weights at random, biases 0
    assert torch.pdist(drawn).min() > 0.01


@pitfall("`trunc_normal_(w, std=2.0)` has a standard deviation of about 1.08")
def check_trunc_normal_bounds_are_absolute():
    w = torch.empty(2_000_000)
    stated("1.08", nn.init.trunc_normal_(w, std=2.0).std())
    assert float(w.abs().max()) <= 2
    assert abs(float(nn.init.trunc_normal_(w, std=0.02).std()) / 0.02 - 1) < 0.005 and float(w.abs().max()) > 4 * 0.02
    stated("0.88", nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04).std() / 0.02)


@pitfall("Transposed or grouped convolutions get the wrong scale")
def check_fans_of_transposed_and_grouped_convolutions():
    n_in, n_out = nn.init._calculate_fan_in_and_fan_out(nn.ConvTranspose2d(3, 64, 7).weight)
    stated("3,136", n_in)
    stated("147", n_out)
    for s in (1, 2):
        up = nn.ConvTranspose2d(64, 64, 4, stride=s, bias=False)
        nn.init.kaiming_normal_(up.weight, mode="fan_out", nonlinearity="relu")
        with torch.no_grad():
            inner = torch.relu(s * up(torch.randn(8, 64, 24, 24)))[..., 4:-4, 4:-4]
        assert abs(float((inner**2).mean()) - 1) < 0.1
        nn.init.kaiming_normal_(up.weight, nonlinearity="relu")  # for the gradient: without the factor s
        x = torch.randn(8, 64, 24, 24, requires_grad=True)
        back = torch.autograd.grad(up(x), x, torch.randn(8, 64, 23 * s + 4, 23 * s + 4))[0]
        assert abs(float((back**2).mean()) - 2) < 0.2
    raises(RuntimeError, lambda: up.weight.mul_(2), "leaf")
    with torch.no_grad():
        up.weight.mul_(2)
    n_in, n_out = nn.init._calculate_fan_in_and_fan_out(nn.Conv2d(64, 64, 3, groups=16).weight)
    assert n_in == 4 * 9 and n_out == 16 * (4 * 9)

    def sizes(layer):
        """Mean squares after a ReLU and of the gradient, inside the borders, for inputs and gradients of size 1."""
        x = torch.randn(8, layer.in_channels, 20, 20, requires_grad=True)
        y = layer(x)
        back = torch.autograd.grad(y, x, torch.randn_like(y))[0]
        return float((torch.relu(y.detach()) ** 2)[..., 7:-7, 7:-7].mean()), float((back**2)[..., 7:-7, 7:-7].mean())

    wide = nn.ConvTranspose2d(3, 64, 7, bias=False)
    nn.init.kaiming_normal_(wide.weight, nonlinearity="relu")
    assert sizes(wide)[0] < 0.1
    nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    assert abs(sizes(wide)[0] - 1) < 0.2
    grouped = nn.Conv2d(64, 64, 3, padding=1, groups=16, bias=False)
    nn.init.kaiming_normal_(grouped.weight, nonlinearity="relu")
    assert abs(sizes(grouped)[0] - 1) < 0.2
    nn.init.kaiming_normal_(grouped.weight, mode="fan_out", nonlinearity="relu")
    assert sizes(grouped)[1] < 0.2  # wanted: 2, which a ReLU would halve
    nn.init.normal_(grouped.weight, std=math.sqrt(2 / (n_out / 16)))
    assert abs(sizes(grouped)[1] - 2) < 0.4


@holds("Does normalization make initialization irrelevant?")
def check_batch_norm_cancels_the_scale_and_divides_the_gradient():
    norm = nn.BatchNorm1d(6, eps=1e-12).double()
    x, w, target = torch.randn(32, 4).double(), torch.randn(6, 4).double(), torch.randn(32, 6).double()
    outputs, gradients, moved = [], [], []
    for scale in (1.0, 10.0):
        scaled = (scale * w).requires_grad_()
        out = norm(x @ scaled.T)
        ((out - target) ** 2).mean().backward()
        outputs.append(out.detach())
        gradients.append(scaled.grad)
        moved.append((norm(x @ (scaled - 0.1 * scaled.grad).T) - out).detach().abs().max())
    assert (
        torch.allclose(*outputs)
        and torch.allclose(gradients[0], 10 * gradients[1])
        and float(gradients[0].abs().max()) > 1e-3
    )
    assert moved[0] > 20 * moved[1] > 0


@holds("Kaiming `fan_in`", "Kaiming `fan_out`", "normal, std 0.02")
def check_what_each_rule_keeps():
    """Mean squares of the signal and of the gradient through ReLU layers of changing width, last over first."""

    def changes(init, widths):
        h = x = torch.randn(400, widths[0], requires_grad=True)
        for a, b in zip(widths, widths[1:]):
            layer = nn.Linear(a, b, bias=False)
            init(layer.weight)
            h = torch.relu(layer(h))
        (back,) = torch.autograd.grad(h, x, torch.randn_like(h))
        return float(h.detach().pow(2).mean() / 0.5), float(back.pow(2).mean() * 2)

    kaiming = lambda mode: lambda w: nn.init.kaiming_normal_(w, mode=mode, nonlinearity="relu")
    widths = (200, 800, 400, 1600)
    assert 0.7 < changes(kaiming("fan_in"), widths)[0] / 2 < 1.4 and changes(kaiming("fan_in"), widths)[1] > 4
    assert 0.7 < changes(kaiming("fan_out"), widths)[1] / 2 < 1.4 and changes(kaiming("fan_out"), widths)[0] < 0.5
    plain = lambda w: nn.init.normal_(w, std=0.02)
    assert changes(plain, (64,) * 4)[0] < 1e-3 and changes(plain, (6400, 6400))[0] > 1


@holds("Why do some people set the gain of a residual block's last norm to zero?", "Kaiming `fan_out`")
def check_zero_gain_of_the_last_norm():
    import torchvision

    for zero in (False, True):
        block = torchvision.models.resnet18(weights=None, zero_init_residual=zero).layer1[0]
        assert (block.bn2.weight == (0 if zero else 1)).all()
        x = torch.randn(4, 64, 8, 8)
        assert torch.equal(block(x), torch.relu(x)) is zero


@holds("orthogonal", "Kaiming `fan_out`", "pretrained weights")
def check_orthogonal_and_resnet():
    x = torch.randn(5, 6)
    assert torch.allclose((nn.init.orthogonal_(torch.empty(6, 6)) @ x.T).norm(dim=0), x.norm(dim=1), atol=1e-5)
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(x[:, :3]), target(x[:, :3]))
    w = nn.init.orthogonal_(torch.empty(6, 6))
    assert torch.allclose(w @ w.T, torch.eye(6), atol=1e-5)
    import torchvision

    conv = torchvision.models.resnet18(weights=None).layer3[0].conv1.weight
    n_in, n_out = fans(conv.shape)
    assert n_in != n_out
    assert abs(float(conv.detach().std()) / math.sqrt(2 / n_out) - 1) < 0.02
    assert np.isfinite(conv.detach().numpy()).all()
