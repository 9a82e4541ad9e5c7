import io
import warnings

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

QUANTIZE = r"q = \operatorname{clip}\!\left(\operatorname{round}\!\left(\frac{x}{s}\right) + z,\; q_{\min},\; q_{\max}\right), \qquad \hat{x} = s\,(q - z)"
RANGE = r"s = \frac{x_{\max} - x_{\min}}{q_{\max} - q_{\min}}, \qquad z = q_{\min} - \operatorname{round}\!\left(\frac{x_{\min}}{s}\right)"
PRODUCT = r"\sum_k \hat{a}_k \hat{b}_k = s_a s_b \sum_k (q_{a,k} - z_a)(q_{b,k} - z_b)"
STRAIGHT = r"""
\frac{\partial L}{\partial x} := \frac{\partial L}{\partial \hat{x}} \cdot \left[\, q_{\min} \le \operatorname{round}\!\left(\frac{x}{s}\right) + z \le q_{\max} \right]
"""
warnings.simplefilter("ignore")
by_definition("What is shared", "Train and eval")
sourced(
    "GPTQ, arXiv 2210.17323, sections 1 (limitations), 4 (128 segments of C4) and 5 (generation)",
    "Weight-only PTQ",
    "Does quantization always make inference faster?",
)
sourced(
    "Deep Compression, arXiv 1510.00149; Polino et al., Model compression via distillation and quantization, arXiv 1802.05668",
    "Pruning, distillation",
)
GRIDS = ((0.25, 3, 0, 255), (0.5, -7, -128, 127), (0.125, 0, -8, 7), (2.0, 120, 0, 255))


def quantized(x, s, z, low, high):
    q = np.clip(np.rint(x / s) + z, low, high)
    return q, s * (q - z)


@formula(QUANTIZE)
@holds("Error")
def check_quantize():
    for s, z, low, high in GRIDS:
        for shape in ((7,), (3, 5), (2, 3, 4), ()):
            x = torch.randn(shape) * 40 * s + z
            ours = quantized(x.numpy(), s, z, low, high)[1]
            np.testing.assert_array_equal(
                ours.astype(np.float32), torch.fake_quantize_per_tensor_affine(x, s, z, low, high).numpy()
            )
        ties = torch.arange(-9, 9) * 0.5 * s
        np.testing.assert_array_equal(
            quantized(ties.numpy(), s, z, low, high)[1],
            torch.fake_quantize_per_tensor_affine(ties, s, z, low, high).numpy(),
        )
        inside = torch.empty(1000).uniform_(s * (low - z), s * (high - z))
        assert (torch.fake_quantize_per_tensor_affine(inside, s, z, low, high) - inside).abs().max() <= s / 2 + 1e-5


@formula(RANGE)
def check_range():
    from torch.ao.quantization.observer import MinMaxObserver

    for low, high, dtype in ((0, 255, torch.quint8), (-128, 127, torch.qint8)):
        for shift in (0.0, 0.7, -2.0, 9.0, -9.0):
            x = torch.randn(50) + shift
            observer = MinMaxObserver(dtype=dtype, quant_min=low, quant_max=high)
            observer(x)
            scale, zero = observer.calculate_qparams()
            smallest, largest = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
            s = (largest - smallest) / (high - low)
            assert abs(s / scale.item() - 1) < 1e-5 and low - np.rint(smallest / s) == zero.item()
            assert torch.fake_quantize_per_tensor_affine(torch.zeros(1), scale.item(), int(zero), low, high) == 0


@formula(PRODUCT)
def check_integer_product():
    for rows, inner, columns in ((3, 5, 2), (1, 64, 1), (8, 17, 4)):
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        (sa, za), (sb, zb) = (0.03125, 9), (0.0625, -4)
        product = (
            torch.fake_quantize_per_tensor_affine(a, sa, za, 0, 255).double()
            @ torch.fake_quantize_per_tensor_affine(b, sb, zb, -128, 127).double()
        )
        qa, qb = (
            quantized(a.numpy(), sa, za, 0, 255)[0].astype(np.int32),
            quantized(b.numpy(), sb, zb, -128, 127)[0].astype(np.int32),
        )
        np.testing.assert_allclose(sa * sb * ((qa - za) @ (qb - zb)), product.numpy(), atol=1e-9)


@formula(STRAIGHT)
def check_straight_through():
    for s, z, low, high in GRIDS:
        x = (torch.randn(400) * 100 * s).requires_grad_()
        upstream = torch.randn(400)
        torch.fake_quantize_per_tensor_affine(x, s, z, low, high).backward(upstream)
        level = np.rint(x.detach().numpy() / s) + z
        np.testing.assert_array_equal(upstream.numpy() * ((low <= level) & (level <= high)), x.grad.numpy())
        assert (x.grad == 0).any() and (x.grad != 0).any()


@check
def check_by_hand():
    s = 4 / 255
    stated("0.0157", s)
    stated("−63.75", -1 / s)
    stated("64", 0 - np.rint(-1 / s))
    stated("19.76", 0.31 / s)
    for text_q, text_x, x in (("84", "0.3137", 0.31), ("64", "0", 0.0), ("255", "2.9961", 5.0)):
        q, back = quantized(x, s, 64, 0, 255)
        stated(text_q, q)
        stated(text_x, torch.fake_quantize_per_tensor_affine(torch.tensor(x), s, 64, 0, 255))
        assert abs(back - float(torch.fake_quantize_per_tensor_affine(torch.tensor(x), s, 64, 0, 255))) < 1e-6


@holds("Input → output", "Ranges")
def check_integers_of_the_same_shape():
    for shape in ((), (7,), (2, 3, 4, 5)):
        x = torch.randn(shape)
        assert torch.quantize_per_tensor(x, 0.1, 3, torch.quint8).int_repr().shape == x.shape
    for dtype, low, high in ((torch.uint8, "0", "255"), (torch.int8, "−128", "127")):
        stated(low, torch.iinfo(dtype).min)
        stated(high, torch.iinfo(dtype).max)


@holds("What does a zero point of 0 save for weights?")
def check_cross_term():
    qa, za, qb = np.random.randint(0, 256, (3, 8)), 9, np.random.randint(-128, 128, 8)
    for zb in (0, 5):
        cross = zb * (qa - za).sum(1)  # another value for each input
        np.testing.assert_array_equal((qa - za) @ (qb - zb), (qa - za) @ qb - cross)
        assert (len(set(cross)) == 1) == (zb == 0)


@holds("Dynamic PTQ")
def check_dynamic_ranges():
    from torch.ao.quantization import quantize_dynamic

    linear, layers, x = nn.Linear(64, 16), (nn.LSTM(64, 16), nn.GRU(64, 16)), torch.randn(8, 2, 64)
    for size in (1.0, 10.0, 100.0):  # no calibration, and each call finds its own range
        dynamic = quantize_dynamic(nn.Sequential(linear), dtype=torch.qint8)
        wanted = F.linear(x * size, linear.weight)
        assert (dynamic(x * size) - linear.bias - wanted).norm() < 0.05 * wanted.norm()
        for layer in layers:
            recurrent = quantize_dynamic(nn.Sequential(layer), dtype=torch.qint8)
            wanted = layer(x * size)[0]
            assert type(recurrent[0]) is not type(layer)
            assert (recurrent(x * size)[0] - wanted).norm() < 0.2 * wanted.norm(), size


@holds("Memory")
def check_memory():
    count = sum(p.numel() for p in torchvision.models.resnet50(weights=None).parameters())
    stated("25,557,032", count)
    stated("102.2", count * 4 / 1e6)
    stated("25.6", count / 1e6)


def bytes_on_disk(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell()


class ResidualBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)

    def forward(self, x):
        y = F.relu(self.first(x))
        return y + self.norm(self.second(y))


@pitfall("The CNN is as large as before")
@holds("Static PTQ")
def check_dynamic_quantization_skips_convolutions():
    from torch.ao.quantization import DeQuantStub, QuantStub, convert, get_default_qconfig, prepare, quantize_dynamic
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    cnn, x = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3)).eval(), torch.randn(8, 3, 8, 8)
    assert bytes_on_disk(quantize_dynamic(cnn, dtype=torch.qint8)) == bytes_on_disk(cnn)
    static = nn.Sequential(QuantStub(), *cnn, DeQuantStub())
    static.qconfig = get_default_qconfig("x86")
    static = prepare(static)
    static(x)  # calibration
    static = convert(static)
    assert bytes_on_disk(static) < 0.35 * bytes_on_disk(cnn) and (static(x) - cnn(x)).norm() < 0.1 * cnn(x).norm()
    block = ResidualBlock().eval()  # an addition: the eager mode raises, FX does not
    eager = nn.Sequential(QuantStub(), block, DeQuantStub())
    eager.qconfig = get_default_qconfig("x86")
    eager = prepare(eager)
    eager(x)
    raises(NotImplementedError, lambda: convert(eager)(x), "aten::add")
    traced = prepare_fx(block, get_default_qconfig_mapping("x86"), (x,))
    traced(x)
    traced = convert_fx(traced)
    assert bytes_on_disk(traced) < 0.4 * bytes_on_disk(block) and (traced(x) - block(x)).norm() < 0.1 * block(x).norm()
    weights = {
        name: (t / (t.abs().max() / 127)).round().to(torch.int8) if t.dim() > 1 else t
        for name, t in cnn.state_dict().items()
    }
    assert sum(t.nbytes for t in weights.values()) < 0.3 * sum(t.nbytes for t in cnn.state_dict().values())

    model = quantize_dynamic(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), dtype=torch.qint8)
    assert type(model[0]) is nn.Conv2d and type(model[2]) is not nn.Linear
    assert "dynamic" in type(quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)), dtype=torch.qint8)[0]).__module__
    assert "dynamic" in type(quantize_dynamic(nn.Sequential(nn.GRU(3, 4)), dtype=torch.qint8)[0]).__module__
    for cell in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
        assert "dynamic" in type(quantize_dynamic(nn.Sequential(cell(3, 4)), dtype=torch.qint8)[0]).__module__
    assert type(quantize_dynamic(nn.Sequential(nn.RNN(3, 4)), dtype=torch.qint8)[0]) is nn.RNN


@check
def check_worst_channel():
    torch.manual_seed(0)
    x, w = torch.randn(32, 64), torch.randn(16, 64) * torch.logspace(-2, 0, 16)[:, None]
    s = w.abs().max() / 127
    sx = x.abs().max() / 127
    y = (
        torch.fake_quantize_per_tensor_affine(x, sx.item(), 0, -127, 127)
        @ torch.fake_quantize_per_tensor_affine(w, s.item(), 0, -127, 127).T
    )
    stated("68%", ((y - x @ w.T).norm(dim=0) / (x @ w.T).norm(dim=0)).max())


def digits_network():
    x, y = handwritten_digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    descend(optimizer, lambda: F.cross_entropy(model(x), y), 100)
    return model.requires_grad_(False), x, y


@holds("QAT")
def check_quantization_aware_training_at_two_bits():
    model, x, y = digits_network()
    model.requires_grad_()
    scale = lambda layer: layer.weight.detach().abs().max().item()
    weight = lambda layer: torch.fake_quantize_per_tensor_affine(layer.weight, scale(layer), 0, -1, 1)
    logits = lambda: F.linear(F.relu(F.linear(x, weight(model[0]), model[0].bias)), weight(model[2]), model[2].bias)
    accuracy = lambda of: (of.argmax(1) == y).float().mean()
    before, rounded = accuracy(model(x)), accuracy(logits())
    descend(torch.optim.Adam(model.parameters(), 0.01), lambda: F.cross_entropy(logits(), y), 100)
    after = accuracy(logits())
    assert before > 0.97 and rounded < 0.3 and after > rounded + 0.15, (before, rounded, after)


@pitfall("Accuracy collapses with one scale per tensor")
def check_scale_per_channel_saves_the_accuracy():
    model, x, y = digits_network()
    ranges = torch.logspace(-2, 2, 64)  # as folding leaves them: the function stays the same
    model[0].weight.mul_(ranges[:, None]), model[0].bias.mul_(ranges), model[2].weight.div_(ranges)
    weights = model[0].weight.clone()
    accuracy = lambda: (model(x).argmax(1) == y).float().mean()
    before = accuracy()
    model[0].weight.copy_(
        torch.fake_quantize_per_tensor_affine(weights, weights.abs().max().item() / 127, 0, -127, 127)
    )
    per_tensor = accuracy()
    scales = weights.abs().amax(1) / 127
    model[0].weight.copy_(
        torch.fake_quantize_per_channel_affine(weights, scales, torch.zeros(64, dtype=torch.int32), 0, -127, 127)
    )
    assert before > 0.97 and per_tensor < before - 0.1 and accuracy() > before - 0.01, (before, per_tensor, accuracy())


@pitfall("One outlier coarsens everything")
def check_outlier():
    x = torch.randn(10000)
    x[0] = 1000.0
    error = lambda top: torch.fake_quantize_per_tensor_affine(x, top / 127, 0, -127, 127) - x
    full, clipped = error(1000.0), error(x.abs().quantile(0.999).item())
    assert full[1:].std() > 0.9 and clipped[1:].std() < 0.02 and clipped[0] < -990
    assert x[:100].abs().quantile(0.999) > 800 and x[:100].abs().quantile(0.95) < 4
    assert full.square().mean() < clipped.square().mean()  # so least squares keeps the outlier
    apart = torch.cat(
        [
            x[:1].half().float(),
            torch.fake_quantize_per_tensor_affine(x[1:], x[1:].abs().max().item() / 127, 0, -127, 127),
        ]
    )
    assert apart[0] == 1000 and (apart - x)[1:].std() < 0.02
    wide, weights = torch.randn(256, 64), torch.randn(64, 16)  # one channel of 64 is large: clipping loses its signal
    wide[:, 5] *= 40
    grid = lambda t, top: torch.fake_quantize_per_tensor_affine(t, top.item() / 127, 0, -127, 127)
    off = lambda y: ((y - wide @ weights).norm() / (wide @ weights).norm()).item()
    rest = torch.arange(64) != 5
    halves = (wide[:, ~rest].half() @ weights[~rest].half()).float()
    kept = grid(wide[:, rest], wide[:, rest].abs().max()) @ weights[rest] + halves
    whole, cut = (grid(wide, top) @ weights for top in (wide.abs().max(), wide.abs().quantile(0.98)))
    assert off(kept) < 0.01 < 0.02 < off(whole) < 0.2 < 0.6 < off(cut)


@pitfall("A range that excludes 0")
def check_range_without_zero():
    from torch.ao.quantization.observer import MinMaxObserver

    s = 1 / 255
    stated("−255", 0 - np.rint(1 / s))
    values = np.linspace(1, 2, 50)
    np.testing.assert_allclose(quantized(values, s, 0, 0, 255)[1], 1.0)
    observer = MinMaxObserver()
    observer(torch.tensor(values))
    scale, zero = (one.item() for one in observer.calculate_qparams())
    assert zero == 0 and abs(scale - 2 / 255) < 1e-8
    assert np.abs(quantized(values, scale, zero, 0, 255)[1] - values).max() <= scale / 2 + 1e-8


@pitfall("Code that worked now warns")
def check_deprecation():
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantize_dynamic(nn.Sequential(nn.Linear(2, 2)))
    assert any("torch.ao.quantization is deprecated" in str(one.message) for one in caught)
    torch.set_warn_always(True)  # else once per process
    for dtype in (torch.quint8, torch.qint8, torch.qint32, None):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.ones(2).div(0.1).round().to(torch.int8) if dtype is None else torch.quantize_per_tensor(
                torch.ones(2), 0.1, 0, dtype
            )
        assert any("184982" in str(one.message) for one in caught) == (dtype is not None)


@holds("Do different functions round alike?")
def check_ties():
    for z in range(1, 7):
        halves = torch.arange(0.5, 20)  # x / s
        separate = torch.fake_quantize_per_tensor_affine(halves * 0.5, 0.5, z, 0, 255) / 0.5 + z
        assert torch.equal(separate, halves.round() + z)
        together = torch.quantize_per_tensor(halves * 0.5, 0.5, z, torch.quint8).int_repr()
        assert torch.equal(together.float(), (halves + z).round())
    x = torch.tensor([0.25])
    stated("1", torch.fake_quantize_per_tensor_affine(x, 0.5, 1, 0, 255) / 0.5 + 1)
    stated("2", torch.quantize_per_tensor(x, 0.5, 1, torch.quint8).int_repr())
