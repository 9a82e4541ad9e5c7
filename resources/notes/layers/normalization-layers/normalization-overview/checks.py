import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import check, figure_of, formula, holds, pitfall, raises, sourced, stated, unexecuted

SHARED = r"""
\mu_i = \frac{1}{|S_i|} \sum_{j \in S_i} x_j, \qquad
\sigma_i^2 = \frac{1}{|S_i|} \sum_{j \in S_i} (x_j - \mu_i)^2, \qquad
y_i = \frac{x_i - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}\, \gamma_c + \beta_c
"""
RMS = r"y_i = \frac{x_i}{\sqrt{\varepsilon + \frac{1}{|S_i|} \sum_{j \in S_i} x_j^2}}\, \gamma_c"
LOCAL = r"""
y_c = x_c \left( k + \frac{\alpha}{s} \sum_{c' = c - \lfloor s/2 \rfloor}^{c + \lfloor (s-1)/2 \rfloor} x_{c'}^2 \right)^{-\beta}
"""

sourced(
    "Group Normalization, arXiv 1803.08494, table 2: at 16 images per GPU 23.7 and 24.2 %, at 8 24.8 and 24.0",
    "BatchNorm",
    "GroupNorm",
)
sourced("Layer Normalization, arXiv 1607.06450, abstract (recurrent networks)", "LayerNorm")
sourced("LLaMA, arXiv 2302.13971, section 2.2", "RMSNorm")
sourced("Instance Normalization: The Missing Ingredient for Fast Stylization, arXiv 1607.08022", "InstanceNorm")
sourced("AlexNet, section 3.3", "local response norm")
sourced("Root Mean Square Layer Normalization, arXiv 1910.07467, abstract", "Why may RMSNorm leave out the mean?")

SAME = {
    "batch": lambda i, j, group: i[1] == j[1],
    "layer": lambda i, j, group: (i[0], i[2], i[3]) == (j[0], j[2], j[3]),
    "instance": lambda i, j, group: i[:2] == j[:2],
    "group": lambda i, j, group: i[0] == j[0] and i[1] // group == j[1] // group,
}


class LastAxis(nn.Module):
    """A layer over the channels of every position, given and returning channels first."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def members(x, i, name, group):
    return np.array([x[j] for j in np.ndindex(x.shape) if SAME[name](i, j, group)])


@formula(SHARED)
def check_one_formula_for_four_layers():
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64) * 2 + 1
    for eps in (1e-5, 0.4):
        layers = {
            "batch": nn.BatchNorm2d(4, eps=eps),
            "layer": nn.LayerNorm(4, eps=eps),
            "instance": nn.InstanceNorm2d(4, eps=eps, affine=True),
            "group": nn.GroupNorm(2, 4, eps=eps),
        }
        sizes = {"batch": 3 * 2 * 3, "layer": 4, "instance": 2 * 3, "group": 2 * 3 * 4 // 2}
        for name, layer in layers.items():
            layer.double()
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            library = (LastAxis(layer) if name == "layer" else layer)(x).detach().numpy()
            for i in np.ndindex(x.shape):
                shared = members(x.numpy(), i, name, 2)
                assert len(shared) == sizes[name]
                mu = shared.sum() / len(shared)
                variance = ((shared - mu) ** 2).sum() / len(shared)
                ours = (x[i].item() - mu) / np.sqrt(variance + eps) * layer.weight[i[1]].item() + layer.bias[
                    i[1]
                ].item()
                assert abs(ours - library[i]) < 1e-9


@formula(RMS)
def check_rms():
    for eps in (1e-5, 0.4):
        layer = nn.RMSNorm(5, eps=eps, dtype=torch.float64)
        nn.init.normal_(layer.weight)
        x = torch.randn(2, 5, 3, 2, dtype=torch.float64) + 1
        ours = (
            x.numpy()
            / np.sqrt(eps + (x.numpy() ** 2).sum(1, keepdims=True) / 5)
            * layer.weight.detach().numpy().reshape(1, 5, 1, 1)
        )
        np.testing.assert_allclose(ours, LastAxis(layer)(x).detach().numpy(), atol=1e-12)
        assert not torch.allclose(layer(x[:, :, 0, 0] + 1), layer(x[:, :, 0, 0]), atol=1e-2)


@formula(LOCAL)
def check_local_response():
    for s in (1, 2, 3, 4, 5):
        for alpha, beta, k in [(1e-4, 0.75, 1.0), (0.9, 0.6, 2.0)]:
            x = torch.randn(2, 6, 3, 2, dtype=torch.float64) * 4
            ours = np.empty(x.shape)
            for c in range(6):
                window = [j for j in range(c - s // 2, c + (s - 1) // 2 + 1) if 0 <= j < 6]
                ours[:, c] = x[:, c] * (k + alpha / s * (x[:, window] ** 2).sum(1)) ** -beta
            np.testing.assert_allclose(ours, nn.LocalResponseNorm(s, alpha, beta, k)(x).numpy(), atol=1e-12)


@check
def check_worked_example():
    x = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [9.0, 5.0]], [[0.0, 4.0], [1.0, 2.0], [8.0, 6.0]]])
    first = [layer(x)[0, 0, 0] for layer in (nn.BatchNorm1d(3), nn.InstanceNorm1d(3), nn.GroupNorm(1, 3))]
    last = [layer(x.transpose(1, 2))[0, 0, 0] for layer in (nn.LayerNorm(3), nn.RMSNorm(3))]
    for text, value in zip(["−0.6325", "−1.0000", "−1.5492", "−1.2247", "0.1674"], first + last):
        stated(text, value)
    stated("2.5", x[:, 0].var(correction=0))


unexecuted("Stripes or odd accuracy after porting to Keras", "Keras is not installed")


@pitfall('"Layer norm averages over C, H and W"')
def check_the_shape_names_the_axes():
    """The picture of the paper is one reading, the layers of ConvNeXt and of a Transformer are another: they give other numbers."""
    x = torch.randn(2, 4, 3, 3) * 2 + torch.arange(4.0).reshape(4, 1, 1) * 3
    whole, position = nn.LayerNorm([4, 3, 3])(x), LastAxis(nn.LayerNorm(4))(x)
    assert whole.mean((1, 2, 3)).abs().max() < 1e-5 and whole.mean(1).abs().max() > 0.1
    assert position.mean(1).abs().max() < 1e-5 and not torch.allclose(whole, position, atol=0.1)
    raises(RuntimeError, lambda: nn.LayerNorm(4)(x), "normalized_shape")  # the last axes, not the channels of an image
    assert nn.LayerNorm(3)(x).mean(3).abs().max() < 1e-5  # as many columns as channels: over the columns, in silence
    convnext = torchvision.models.convnext.LayerNorm2d(4, eps=1e-5)
    assert torch.allclose(convnext(x), position, atol=1e-6)
    assert nn.TransformerEncoderLayer(8, 2, 16).norm1.normalized_shape == (8,)


@pitfall("RMSNorm differs slightly after loading weights")
def check_the_epsilon_of_a_checkpoint():
    x = torch.randn(4, 64) * 0.02
    trained = nn.RMSNorm(64, eps=1e-5)
    nn.init.normal_(trained.weight)
    loaded, cured = nn.RMSNorm(64), nn.RMSNorm(64, eps=1e-5)
    for layer in (loaded, cured):
        layer.load_state_dict(trained.state_dict())
    gap = ((loaded(x) - trained(x)).norm() / trained(x).norm()).item()
    assert 1e-3 < gap < 0.1 and torch.equal(cured(x), trained(x))


@holds("BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm", "local response norm")
def check_which_depend_on_the_batch():
    influence = figure_of(__file__).influence
    own = torch.zeros(3, dtype=torch.bool)
    own[1] = True  # the sample of the marked output
    last = {"layer": nn.LayerNorm(6), "rms": nn.RMSNorm(6)}
    first = {
        "batch": nn.BatchNorm1d(6),
        "stored": nn.BatchNorm1d(6).eval(),
        "group": nn.GroupNorm(2, 6),
        "instance": nn.InstanceNorm1d(6),
        "local": nn.LocalResponseNorm(3),
    }
    for layers, channels_last in ((last, True), (first, False)):
        for name, layer in layers.items():
            touched = influence(layer.double(), channels_last).flatten(1).any(1)
            assert touched.all() if name == "batch" else torch.equal(touched, own), name
    assert isinstance(nn.TransformerEncoderLayer(8, 2).norm1, nn.LayerNorm)


@holds("Which ones can be folded into a convolution?")
def check_which_are_a_fixed_factor_per_channel():
    """A layer that can be folded maps sums to sums once its offset is taken away."""
    x, y = torch.randn(2, 1, 4, 5, 5, dtype=torch.float64) * 3
    layers = {
        "batch": nn.BatchNorm2d(4),
        "group": nn.GroupNorm(2, 4),
        "instance": nn.InstanceNorm2d(4),
        "layer": LastAxis(nn.LayerNorm(4)),
        "rms": LastAxis(nn.RMSNorm(4)),
        "local": nn.LocalResponseNorm(3, alpha=0.5),
    }
    for name, layer in layers.items():
        layer.double()(x)
        layer.eval()
        offset = layer(torch.zeros_like(x))
        gap = (layer(x + y) - layer(x) - layer(y) + offset).abs().max()
        assert (gap < 1e-9) == (name == "batch") and (gap < 1e-9 or gap > 0.05), (name, gap)


@holds("Why may RMSNorm leave out the mean?")
def check_rms_sees_a_shift():
    x = torch.randn(20, 16)
    assert (nn.RMSNorm(16)(x + 1) - nn.RMSNorm(16)(x)).abs().max() > 0.3
    assert torch.allclose(nn.LayerNorm(16)(x + 1), nn.LayerNorm(16)(x), atol=1e-4)


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?")
def check_contract():
    for layer in (nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(3)):
        assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    for layer in (nn.LayerNorm(3), nn.RMSNorm(3)):
        for shape in ((3,), (2, 3), (2, 4, 5, 3)):
            assert layer(torch.randn(shape)).shape == shape
    assert nn.LocalResponseNorm(2)(torch.randn(2, 3, 5)).shape == (2, 3, 5)
    for half in (torch.float16, torch.bfloat16):
        given = torch.randn(2, 3, 4, 4, dtype=half)
        for layer in (nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(4), nn.RMSNorm(4)):
            assert layer.to(half)(given).dtype == half and layer(given).shape == given.shape
    assert nn.RMSNorm(3).eps is None
    assert all(
        layer.eps == 1e-5 for layer in (nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3), nn.BatchNorm2d(3))
    )
    stated("1.19e−7", torch.finfo(torch.float32).eps)
    x = torch.randn(4, 3) * 1e-4
    assert torch.allclose(nn.RMSNorm(3)(x), nn.RMSNorm(3, eps=torch.finfo(torch.float32).eps)(x))
    assert not torch.allclose(nn.RMSNorm(3)(x), nn.RMSNorm(3, eps=1e-5)(x), atol=0.01)
    for dtype in (torch.float16, torch.bfloat16):
        half = (torch.randn(4, 64) * 1e-3).to(dtype)
        wide = half.float()
        for eps, equal in ((torch.finfo(torch.float32).eps, True), (torch.finfo(dtype).eps, False)):
            ours = wide / torch.sqrt((wide**2).mean(-1, keepdim=True) + eps)
            assert torch.allclose(nn.RMSNorm(64, dtype=dtype)(half).float(), ours, atol=0.02) is equal
    assert [name for name, _ in nn.RMSNorm(3).named_parameters()] == ["weight"]
    assert not list(nn.InstanceNorm2d(3).parameters()) and not list(nn.LocalResponseNorm(2).parameters())
    lrn = nn.LocalResponseNorm(2)
    assert (lrn.alpha, lrn.beta, lrn.k) == (1e-4, 0.75, 1.0)
    for half in (torch.float16, torch.bfloat16):
        raises(NotImplementedError, lambda: lrn(torch.randn(1, 3, 4, 4, dtype=half)))
    stored, sample = nn.BatchNorm1d(1, momentum=None), torch.randn(5, 1)
    stored(sample)
    assert torch.allclose(stored.running_var, sample.var(0)) and stored.running_var > 1.2 * sample.var(correction=0)
    assert nn.InstanceNorm2d(3)(torch.randn(3, 4, 4)).shape == (3, 4, 4)
    for layer, shape in [(nn.BatchNorm2d(3), (3, 4, 4)), (lrn, (3, 4))]:
        raises(ValueError, lambda: layer(torch.randn(shape)))
    image = torch.randn(2, 3, 4, 4)
    for layer in (nn.InstanceNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(4), nn.RMSNorm(4), lrn):
        assert torch.equal(layer.train()(image), layer.eval()(image))
        assert layer.double()(image.double()).dtype == torch.float64
    batch = nn.BatchNorm2d(3)
    assert not torch.allclose(batch.train()(image), batch.eval()(image), atol=1e-3)


@pitfall("AlexNet's response norm gives other values")
def check_alexnet_constants():
    x = torch.randn(1, 8, 3, 3, dtype=torch.float64) * 20
    squares = torch.stack([(x[:, max(0, c - 2) : c + 3] ** 2).sum(1) for c in range(8)], 1)
    paper = x / (2 + 1e-4 * squares) ** 0.75
    assert torch.allclose(nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)(x), paper)
    assert not torch.allclose(nn.LocalResponseNorm(5)(x), paper, rtol=0.1)
    caffe = x / (1 + 1e-4 / 5 * squares) ** 0.75  # its AlexNet: local_size 5, alpha 1e-4, beta 0.75, k 1
    assert torch.allclose(nn.LocalResponseNorm(5)(x), caffe)


@holds("What does normalization lose?")
def check_what_is_lost():
    x = torch.randn(4, 6, 5, 5) * 3
    for layer in (
        nn.BatchNorm2d(6),
        nn.GroupNorm(2, 6),
        nn.InstanceNorm2d(6),
        LastAxis(nn.LayerNorm(6)),
        LastAxis(nn.RMSNorm(6)),
    ):
        assert torch.allclose(layer(x * 7), layer(x), atol=1e-2)
        rms = isinstance(layer, LastAxis) and isinstance(layer.layer, nn.RMSNorm)
        assert torch.allclose(layer(x + 2), layer(x), atol=1e-2) is not rms
    for kept in (nn.BatchNorm2d(6).eval(), nn.LocalResponseNorm(5)):
        assert (kept(x + 2) - kept(x)).abs().mean() > 1
    constant = nn.BatchNorm2d(6).eval()
    assert torch.allclose(constant(x * 7), 7 * constant(x), atol=1e-4)
    local = nn.LocalResponseNorm(5)
    assert (local(x * 7).abs().mean() / local(x).abs().mean()) > 5
    without_k = nn.LocalResponseNorm(5, alpha=1.0, k=0.0)
    assert torch.allclose(without_k(x * 7), without_k(x) / 7**0.5, rtol=1e-3)


@holds("Which are special cases of each other?")
def check_special_cases():
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64) * 2 + 1
    assert torch.allclose(nn.GroupNorm(4, 4).double()(x), nn.InstanceNorm2d(4)(x))
    assert torch.allclose(nn.GroupNorm(1, 4).double()(x), nn.LayerNorm([4, 3, 3]).double()(x))
    assert torch.allclose(nn.BatchNorm2d(4).double()(x[:1]), nn.InstanceNorm2d(4)(x[:1]))
    assert not torch.allclose(nn.BatchNorm2d(4).double()(x)[:1], nn.InstanceNorm2d(4)(x[:1]), atol=0.01)


@check
def check_torchvision_alexnet_has_no_response_norm():
    with torch.device("meta"):
        alexnet = torchvision.models.alexnet()
    assert not any(isinstance(module, nn.LocalResponseNorm) for module in alexnet.modules())
