import importlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import grid_sample
from torch.utils.flop_counter import FlopCounterMode

from note_checks import check, formula, holds, pitfall, raises, sourced, stated, unexecuted
from trainings import descend

# verified: formula-only (not in torchvision): read point by point in NumPy, compared with grid_sample and nn.Linear.
ATTENTION = r"""
\mathrm{out}(q) = \sum_{m=1}^{8} W_m \sum_{l=1}^{4} \sum_{k=1}^{4} A_{mlk}\; V_m x_l\!\left( \phi_l(r) + \Delta_{mlk} \right), \qquad \sum_{l, k} A_{mlk} = 1
"""
PARAMETERS = r"2\,(d^2 + d) + 3\,(d + 1)\, H L P"
REFINED = r"b' = \sigma\big( \sigma^{-1}(b) + \Delta b \big)"

DEFORMABLE, DINO, DN = "Deformable DETR, arXiv 2010.04159", "DINO, arXiv 2203.03605", "DN-DETR, arXiv 2203.01305"
sourced(f"{DEFORMABLE}, sections 4 and 5; {DINO}, section 4", "Input", "Output", "Defaults", "Same in train and eval?")
sourced("DETR, arXiv 2005.12872, section 4", "DETR")
sourced(f"{DEFORMABLE}, section 5", "Deformable DETR")
sourced("DAB-DETR, arXiv 2201.12329, sections 4 and 5", "DAB-DETR")
sourced(f"{DN}, sections 3 to 5", "DN-DETR", "Why does denoising speed up training?")
sourced(f"{DINO}, sections 3 and 4", "DINO", 'What does "mixed query selection" mean in DINO?')
sourced("RT-DETR, arXiv 2304.08069, sections 4 and 5", "RT-DETR")


def read(x, place):
    """Bilinear value of a map (d, H, W) at (x, y) in cells, cell centres at half numbers, zero outside."""
    _, H, W = x.shape
    cx, cy = place[0] - 0.5, place[1] - 0.5
    total = np.zeros(x.shape[0])
    for i in (math.floor(cy), math.floor(cy) + 1):
        for j in (math.floor(cx), math.floor(cx) + 1):
            if 0 <= i < H and 0 <= j < W:
                total += x[:, i, j] * (1 - abs(cy - i)) * (1 - abs(cx - j))
    return total


@formula(ATTENTION)
def check_attention():
    d, heads, levels, points = 16, 8, 4, 4
    offsets, weights = (
        nn.Linear(d, heads * levels * points * 2).double(),
        nn.Linear(d, heads * levels * points).double(),
    )
    value, out = nn.Linear(d, d, bias=False).double(), nn.Linear(d, d, bias=False).double()
    maps = [torch.randn(d, h, w, dtype=torch.float64) for h, w in ((9, 13), (5, 7), (3, 4), (2, 2))]
    query, reference = torch.randn(3, d, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    with torch.no_grad():
        shift = offsets(query).view(-1, heads, levels, points, 2)
        A = weights(query).view(-1, heads, levels * points).softmax(-1).view(-1, heads, levels, points)
        assert torch.allclose(A.sum((2, 3)), torch.ones(3, heads, dtype=torch.float64))
        total = 0
        for l, x in enumerate(maps):
            h, w = x.shape[-2:]
            v = value(x.flatten(1).T).T.view(heads, d // heads, h, w)
            place = reference[:, None, None] + shift[:, :, l] / torch.tensor([w, h])
            sampled = grid_sample(v, 2 * place.transpose(0, 1) - 1, align_corners=False)
            total = total + (sampled * A[:, :, l].transpose(0, 1)[:, None]).sum(-1)
        library = out(total.permute(2, 0, 1).flatten(1)).numpy()
        V, Wo = value.weight.numpy(), out.weight.numpy()
    size = d // heads
    for q in range(3):
        ours = np.zeros(d)
        for m in range(heads):
            inner = np.zeros(size)
            for l, x in enumerate(maps):
                h, w = x.shape[-2:]
                for k in range(points):
                    place = reference[q].numpy() * [w, h] + shift[q, m, l, k].numpy()
                    inner += float(A[q, m, l, k]) * (V[m * size : (m + 1) * size] @ read(x.numpy(), place))
            ours += Wo[:, m * size : (m + 1) * size] @ inner
        np.testing.assert_allclose(ours, library[q], atol=1e-9)


class DeformableAttention(nn.Module):
    """The article's module in small; `points` counts the places that one call reads for each query."""

    def __init__(self, d=32, heads=8, levels=4, points=4):
        super().__init__()
        self.shape, self.d = (heads, levels, points), d
        self.offsets, self.weights = nn.Linear(d, heads * levels * points * 2), nn.Linear(d, heads * levels * points)
        self.value, self.out = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)

    def forward(self, query, reference, maps):
        heads, levels, points = self.shape
        offsets = self.offsets(query).view(-1, heads, levels, points, 2)
        weights = self.weights(query).view(-1, heads, levels * points).softmax(-1).view(-1, heads, levels, points)
        total, self.points = 0, 0
        for l, x in enumerate(maps):
            h, w = x.shape[-2:]
            value = self.value(x.flatten(1).T).T.view(heads, self.d // heads, h, w)
            place = reference[:, None, None] + offsets[:, :, l] / torch.tensor([w, h], device=x.device)
            read = grid_sample(value, 2 * place.transpose(0, 1) - 1, align_corners=False)
            self.points += read.shape[0] * read.shape[-1]
            total = total + (read * weights[:, :, l].transpose(0, 1)[:, None]).sum(-1)
        return self.out(total.permute(2, 0, 1).flatten(1))


@holds("Why is no key needed?")
def check_content_has_no_say():
    """With fixed queries the output is linear in the maps, which do not change the weights."""
    layer, query, reference = DeformableAttention(), torch.randn(6, 32), torch.rand(6, 2)
    one, two = ([torch.randn(32, n, n) for n in (8, 4, 2, 2)] for _ in range(2))
    both = layer(query, reference, [a + b for a, b in zip(one, two)])
    assert torch.allclose(both, layer(query, reference, one) + layer(query, reference, two), atol=1e-4)
    dense, (a, b) = nn.MultiheadAttention(32, 8, bias=False), (torch.randn(64, 32) for _ in range(2))
    summed = dense(query, a + b, a + b)[0]
    assert not torch.allclose(summed, dense(query, a, a)[0] + dense(query, b, b)[0], atol=1e-2)


@holds("Cost", "Why are fine maps affordable?")
def check_cost_against_the_size_of_the_maps():
    layer, dense = DeformableAttention(), nn.MultiheadAttention(32, 8)

    def operations(work):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            work()
        return counter.get_total_flops()

    decoder, encoder, quadratic = [], [], []
    for side in (16, 32):
        maps = [torch.randn(32, side // k, side // k) for k in (1, 2, 4, 8)]
        tokens = torch.cat([x.flatten(1).T for x in maps])
        queries, references = torch.randn(len(tokens), 32), torch.rand(len(tokens), 2)
        for n, found in ((10, decoder), (len(tokens), encoder)):
            found.append(operations(lambda: layer(queries[:n], references[:n], maps)))
            assert layer.points == 128
        quadratic.append(operations(lambda: dense(tokens, tokens, tokens)))
        assert dense(queries[:10], tokens, tokens)[1].shape == (10, len(tokens))
    assert decoder[1] < 4 * decoder[0] and abs(encoder[1] / encoder[0] - 4) < 0.01 and quadratic[1] > 8 * quadratic[0]


@holds("Parameters of one attention module")
@formula(PARAMETERS)
def check_parameters():
    for d, H, L, P in ((256, 8, 4, 4), (32, 4, 3, 2)):
        layers = [nn.Linear(d, H * L * P * 2), nn.Linear(d, H * L * P), nn.Linear(d, d), nn.Linear(d, d)]
        ours = 2 * (d * d + d) + 3 * (d + 1) * H * L * P
        assert ours == sum(p.numel() for layer in layers for p in layer.parameters())
        if d == 256:
            stated("230,272", ours)
    stated("65,792", 256 * 256 + 256)
    stated("131,584", 2 * 65792)
    stated("98,688", 3 * 257 * 128)


@formula(REFINED)
def check_refinement():
    b, delta = torch.rand(50, 4, dtype=torch.float64), torch.randn(50, 4, dtype=torch.float64)
    ours = 1 / (1 + np.exp(-(np.log(b.numpy() / (1 - b.numpy())) + delta.numpy())))
    np.testing.assert_allclose(ours, (torch.logit(b) + delta).sigmoid().numpy(), rtol=1e-9)
    assert ours.min() > 0 and ours.max() < 1
    stated("0.5987", 1 / (1 + math.exp(-0.4)))


@check
def check_by_hand():
    tokens = sum(math.ceil(800 / s) * math.ceil(1066 / s) for s in (8, 16, 32, 64))
    stated("17,821", tokens)
    stated("317,588,041", tokens**2)
    stated("128", 8 * 4 * 4)


unexecuted("The wrong DINO", "two papers share a name")


def denoising_run(masked, steps=120):
    """Boxes of a network with denoising queries: its last training loss of the matching queries, and that without the true boxes."""
    attention, head = nn.MultiheadAttention(32, 4, batch_first=True), nn.Linear(32, 4)
    embed, learned, image = nn.Linear(4, 32), nn.Parameter(torch.randn(1, 2, 32)), nn.Linear(4, 32)
    optimizer = torch.optim.Adam(
        [*attention.parameters(), *head.parameters(), *embed.parameters(), learned, *image.parameters()], 5e-3
    )
    blocked = torch.zeros(6, 6, dtype=torch.bool)  # two matching queries, two groups of two denoising queries
    blocked[:2, 2:] = blocked[2:4, 4:] = blocked[4:, 2:4] = masked

    def losses(with_truth):
        boxes = torch.rand(96, 2, 4)
        match = learned + image(boxes + 0.3 * torch.randn_like(boxes))  # what the image shows is vague
        noisy = [embed(boxes + 0.02 * torch.randn_like(boxes)) for _ in range(2)]
        queries = torch.cat([match, *noisy], 1) if with_truth else match
        mask = blocked[: queries.shape[1], : queries.shape[1]]
        found = head(queries + attention(queries, queries, queries, attn_mask=mask)[0])
        return [(part - boxes).abs().mean() for part in found.split(2, 1)]

    descend(optimizer, lambda: sum(losses(True)), steps)
    with torch.no_grad():
        return losses(True)[0].item(), losses(False)[0].item()


@pitfall("Denoising queries leak the answer")
def check_leak():
    training, testing = denoising_run(masked=False)
    assert training < 0.75 * testing, (training, testing)
    training, honest = denoising_run(masked=True)
    assert abs(training - honest) < 0.05 * honest and honest < testing, (training, honest, testing)


@pitfall("Reference points or offsets on the wrong axis")
def check_axes():
    reference, offset = torch.tensor([0.3, 0.7]), torch.tensor([2.0, -1.0])
    for h, w, unnoticed in ((12, 12, True), (8, 16, False)):
        x = torch.randn(1, 3, h, w, dtype=torch.float64)

        def at(reference, size):
            place = (reference + offset / torch.tensor(size)).double()
            return grid_sample(x, (2 * place - 1).view(1, 1, 1, 2), align_corners=False).flatten().numpy()

        wanted = read(x[0].numpy(), (reference * torch.tensor([w, h]) + offset).tolist())
        np.testing.assert_allclose(at(reference, [w, h]), wanted, atol=1e-5)
        assert np.allclose(at(reference, [h, w]), wanted, atol=1e-5) is unnoticed
        assert not np.allclose(at(reference.flip(0), [w, h]), wanted, atol=1e-2)


@pitfall("At the start all heads read nearly the same spot")
def check_default_start_of_offsets():
    layer = nn.Linear(256, 8 * 4 * 4 * 2)
    query = nn.functional.layer_norm(torch.randn(2000, 256), (256,))
    stated("0.58", layer(query).std().item())
    angle = torch.arange(8) * 2 * math.pi / 8
    direction = torch.stack([angle.cos(), angle.sin()], 1)
    direction = direction / direction.abs().max(1, keepdim=True)[0]
    before = layer(query).view(2000, 8, 4, 4, 2).mean((2, 3))
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_((direction[:, None, None] * torch.arange(1, 5)[:, None]).expand(8, 4, 4, 2).flatten())
    after = layer(query).view(2000, 8, 4, 4, 2).mean((2, 3))
    assert (before[:, :, None] - before[:, None]).norm(dim=-1).max() < 2
    apart = (after[:, :, None] - after[:, None]).norm(dim=-1) + 9 * torch.eye(8)
    assert apart.min() > 2 and layer(query).abs().max() == 4


@pitfall("\"No module named 'MultiScaleDeformableAttention'\"")
def check_compiled_operator_is_missing():
    """The operator itself needs CUDA; that `grid_sample` computes the same sum is shown by `check_attention`."""
    raises(
        ModuleNotFoundError,
        lambda: importlib.import_module("MultiScaleDeformableAttention"),
        "No module named 'MultiScaleDeformableAttention'",
    )
    check_attention()
    with torch.device("meta"):  # no device is written down: a layer and maps elsewhere than on the CPU
        layer = DeformableAttention()
        query, reference, maps = torch.randn(3, 32), torch.rand(3, 2), [torch.randn(32, 6, 9) for _ in range(4)]
    assert layer(query, reference, maps).shape == (3, 32)
    boxes = torch.rand(3, 4, device="meta")
    raises(RuntimeError, lambda: layer(query, boxes, maps), "broadcast")  # points only, as the article says
