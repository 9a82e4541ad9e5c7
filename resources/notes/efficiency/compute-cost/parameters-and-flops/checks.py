import io

import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, processor_seconds, sourced, stated

CONV = r"""
P = \left( \frac{K^2 C_{\mathrm{in}}}{g} + 1 \right) C_{\mathrm{out}}, \qquad \mathrm{MACs} = \frac{K^2 C_{\mathrm{in}} C_{\mathrm{out}}}{g}\, H_{\mathrm{out}} W_{\mathrm{out}}
"""
RECURRENT = r"P_{\mathrm{LSTM}} = 4h\,(i + h + 2), \qquad P_{\mathrm{GRU}} = 3h\,(i + h + 2)"
BERT = r"P_{\mathrm{BERT}} = (V + T + 2)\,D + 2D + L\,(12D^2 + 13D) + D^2 + D"

by_definition("FLOPS, FLOP/s", "parameters", "MACs, FLOPs", "activation memory", "latency, throughput")
sourced("fvcore, docs/flop_count.md: one fused multiply-add counts as one flop", "Defaults of counters")
sourced("Kaplan et al., arXiv 2001.08361, section 2.1", "Why is training about three times a forward pass?")


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def flops(module, *inputs):
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops()


def model(name):
    with torch.device("meta"):
        return getattr(torchvision.models, name)().eval()


def multiply_adds(name):
    return flops(model(name), torch.zeros(1, 3, 224, 224, device="meta")) // 2


@holds("Parameters")
def check_parameters_do_not_depend_on_the_input():
    net = model("resnet18")
    before = sum(p.numel() for p in net.parameters())
    for batch, side in ((1, 224), (4, 160)):
        net(torch.zeros(batch, 3, side, side, device="meta"))
        assert sum(p.numel() for p in net.parameters()) == before


@holds("MACs, FLOPs", "Defaults of counters")
@formula(CONV)
def check_convolution_and_linear():
    for K, C_in, C_out, g, stride, size in [
        (3, 8, 16, 1, 1, 9),
        (7, 3, 64, 1, 2, 15),
        (5, 12, 6, 3, 2, 14),
        (1, 4, 4, 4, 1, 3),
    ]:
        conv, x = nn.Conv2d(C_in, C_out, K, stride=stride, padding=K // 2, groups=g), torch.zeros(1, C_in, size, size)
        H, W = conv(x).shape[2:]
        assert parameters(conv) == (K**2 * C_in // g + 1) * C_out
        assert flops(conv, x) == 2 * K**2 * C_in * C_out // g * H * W
    for a, b in [(5, 7), (1, 3)]:
        assert parameters(nn.Linear(a, b)) == (a + 1) * b and flops(nn.Linear(a, b), torch.zeros(1, a)) == 2 * a * b


@formula(RECURRENT)
def check_recurrent():
    for i, h in [(10, 20), (3, 5), (7, 1)]:
        assert parameters(nn.LSTM(i, h)) == 4 * h * (i + h + 2) and parameters(nn.GRU(i, h)) == 3 * h * (i + h + 2)
    stated("5,920", parameters(nn.LSTM(10, 20, 2)))


@holds("Which layers have parameters but hardly any work?")
@formula(BERT)
def check_bert():
    """Embeddings, norm, encoder and pooler put together from PyTorch's layers."""

    def built(V, T, D, heads, L):
        parts = [nn.Embedding(V, D), nn.Embedding(T, D), nn.Embedding(2, D), nn.LayerNorm(D), nn.Linear(D, D)]
        parts += [nn.TransformerEncoderLayer(D, heads, 4 * D) for _ in range(L)]
        return sum(map(parameters, parts))

    count = lambda V, T, D, L: (V + T + 2) * D + 2 * D + L * (12 * D**2 + 13 * D) + D**2 + D
    with torch.device("meta"):
        for V, T, D, heads, L in [(30522, 512, 768, 12, 12), (100, 16, 8, 2, 3)]:
            assert built(V, T, D, heads, L) == count(V, T, D, L)
    stated("109,482,240", count(30522, 512, 768, 12))
    stated("23,835,648", (30522 + 512 + 2) * 768)
    assert flops(nn.Embedding(1000, 8), torch.tensor([3, 5])) == 0
    assert 12 * (12 * 768**2 + 13 * 768) == 85_054_464 and 768**2 + 768 == 590_592
    stated("1.63", 16 * 109_482_240 / 2**30)


@check
def check_numbers():
    stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    stated("9,408", parameters(stem))
    stated("118,013,952", flops(stem, torch.zeros(1, 3, 224, 224)) / 2)


@pitfall('ResNet-50 has 4 "GFLOPs" here and 8 there')
def check_multiply_adds_and_flops():
    """The convolutions and the last layer by the formula, against the counter: half of what it reports."""
    net, macs = model("resnet50"), 0
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):

            def add(layer, _, out):
                nonlocal macs
                macs += layer.weight.numel() * out[0].numel() // out.shape[1]

            module.register_forward_hook(add)
    counted = flops(net, torch.zeros(1, 3, 224, 224, device="meta"))
    assert counted == 2 * macs
    stated("4.09", macs / 1e9)
    stated("8.18", counted / 1e9)


@pitfall("LSTM counts disagree with Keras")
def check_only_the_sum_of_the_two_biases_matters():
    """Keras is not run; with one bias vector the layer computes the same and has the other count."""
    lstm, x = nn.LSTM(10, 20), torch.randn(5, 1, 10)
    before = lstm(x)[0]
    with torch.no_grad():
        lstm.bias_ih_l0 += lstm.bias_hh_l0
        lstm.bias_hh_l0.zero_()
    assert torch.allclose(lstm(x)[0], before, atol=1e-6)
    stated("2,560", parameters(lstm))
    stated("2,480", parameters(lstm) - lstm.bias_hh_l0.numel())
    assert parameters(lstm) - lstm.bias_hh_l0.numel() == 4 * 20 * (10 + 20 + 1)


def file_size(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()


@pitfall("The file is larger than the parameters")
def check_what_a_file_holds():
    net = model("resnet50")
    stated("53,173", sum(b.numel() for b in net.buffers()))
    assert sum(v.numel() for v in net.state_dict().values()) - parameters(net) == 53_173
    norm = nn.BatchNorm1d(50_000)
    assert parameters(norm) == 100_000 and file_size(norm.state_dict()) > 1.9 * 4 * parameters(norm)
    assert abs(file_size(norm.state_dict()) / (4 * sum(v.numel() for v in norm.state_dict().values())) - 1) < 0.02
    layer = nn.Linear(300, 300)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(2, 300)).sum().backward()
    optimizer.step()
    checkpoint = {"model": layer.state_dict(), "optimizer": optimizer.state_dict()}
    held = sum(v.numel() for state in optimizer.state_dict()["state"].values() for v in state.values()) + parameters(
        layer
    )
    assert file_size(checkpoint) > 2.9 * 4 * parameters(layer) and abs(file_size(checkpoint) / (4 * held) - 1) < 0.02
    tied = nn.ModuleDict({"embed": nn.Embedding(700, 300), "out": nn.Linear(300, 700, bias=False)})
    tied["out"].weight = tied["embed"].weight
    assert sum(v.numel() for v in tied.state_dict().values()) == 2 * parameters(tied)
    assert file_size(tied.state_dict()) < 1.1 * 4 * parameters(tied)
    once = {v.data_ptr(): v.numel() for v in tied.state_dict().values()}
    assert abs(file_size(tied.state_dict()) / (4 * sum(once.values())) - 1) < 0.02


@pitfall("Half the FLOPs, same latency")
def check_small_kernels_cost_more_than_their_flops():
    """On the CPU: many small products against one large; the GPU's queue, and with it `synchronize`, is not run."""
    large, small = torch.randn(128, 128), torch.randn(8, 8)

    def many():
        for _ in range(2000):
            small @ small

    with FlopCounterMode(display=False) as one:
        large @ large
    assert 2000 * 2 * 8**3 < 0.5 * one.get_total_flops()
    small_ones, one_product = processor_seconds(many, lambda: large @ large)
    assert small_ones > 2 * one_product
    intensity = {}  # multiply-adds per number that is read or written
    for groups in (1, 64):
        conv, x = nn.Conv2d(64, 64, 3, padding=1, groups=groups), torch.zeros(1, 64, 28, 28)
        intensity[groups] = flops(conv, x) / 2 / (2 * x.numel() + parameters(conv))
    assert intensity[64] < 5 < 50 < intensity[1]


@holds("Memory of weights", "Training with Adam")
def check_adam_keeps_two_moments():
    layer = nn.Linear(6, 5)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(2, 6)).sum().backward()
    optimizer.step()
    moments = sum(state[k].numel() for state in optimizer.state.values() for k in ("exp_avg", "exp_avg_sq"))
    gradients = sum(p.grad.numel() for p in layer.parameters())
    assert (parameters(layer) + gradients + moments) * 4 == 16 * parameters(layer)
    sizes = [torch.empty(0, dtype=t).element_size() for t in (torch.float32, torch.float16, torch.bfloat16, torch.int8)]
    assert sizes == [4, 2, 2, 1]


@holds("Same in train and eval?")
@pitfall("The counter reports 0, or too little")
def check_blind_spots():
    steps, i, h = 5, 10, 20
    by_hand = steps * 2 * 4 * h * (i + h)
    assert flops(nn.LSTM(i, h), torch.zeros(steps, 1, i)) == 0
    assert flops(nn.LSTM(i, h).double(), torch.zeros(steps, 1, i).double()) == by_hand
    query = torch.zeros(1, 2, 5, 4)
    assert flops(nn.functional.scaled_dot_product_attention, query, query, query) == 0
    assert flops(lambda q: (q @ q.mT).softmax(-1) @ q, query) == 2 * 2 * 2 * 5 * 5 * 4
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with torch.no_grad():
        fused, plain = flops(attention.eval(), torch.zeros(2, 5, 8)), flops(attention.train(), torch.zeros(2, 5, 8))
    assert fused < plain and parameters(attention.train()) == parameters(attention.eval())


@holds("Why is training about three times a forward pass?", "Does batch size change FLOPs?")
def check_backward_costs_twice_forward_and_batch_is_linear():
    layer = nn.Linear(4, 3)
    for batch in (2, 6):
        x = torch.zeros(batch, 4, requires_grad=True)
        with FlopCounterMode(display=False) as counter:
            layer(x).sum().backward()
        assert counter.get_total_flops() == 3 * flops(layer, x) == 3 * 2 * batch * 12


@holds("How does work scale with image size?")
def check_image_size():
    for name in ("resnet18", "vgg16", "mobilenet_v2"):
        net = model(name)
        small, large = (flops(net, torch.zeros(1, 3, s, s, device="meta")) for s in (224, 448))
        assert 3.9 < large / small <= 4
    product = lambda q: (q @ q.mT) @ q  # the two products of attention, a token per pixel
    small, large = (flops(product, torch.zeros(1, side**2, 8)) for side in (8, 16))
    assert large == 16 * small
