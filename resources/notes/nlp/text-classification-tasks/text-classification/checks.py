import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, raises, stated

F0 = r"""
c_i = \operatorname{ReLU}\left( \sum_{j=0}^{k-1} w_j^\top x_{i+j} + b \right), \qquad \hat{c} = \max_{1 \le i \le L-k+1} c_i
"""
F1 = r"""
P = \sum_{k \in K} m\,(kd + 1) + C\,(m\,|K| + 1)
"""


@formula(F0)
def check_filter_and_maximum():
    for N, L, d, m, k in [(2, 7, 5, 3, 3), (1, 4, 1, 1, 4), (3, 9, 6, 2, 1)]:
        conv, x = nn.Conv1d(d, m, k).double(), torch.randn(N, L, d).double()
        library = conv(x.transpose(1, 2)).relu().amax(-1).detach().numpy()
        weight, bias, xn = conv.weight.detach().numpy(), conv.bias.detach().numpy(), x.numpy()
        for n in range(N):
            for f in range(m):
                c = [max(0.0, sum(weight[f, :, j] @ xn[n, i + j] for j in range(k)) + bias[f]) for i in range(L - k + 1)]
                assert abs(max(c) - library[n, f]) < 1e-10


@formula(F1)
def check_parameters():
    for d, m, K, C in [(300, 100, (3, 4, 5), 2), (8, 5, (2, 7), 4), (1, 1, (1,), 3)]:
        layers = [nn.Conv1d(d, m, k) for k in K] + [nn.Linear(m * len(K), C)]
        assert sum(m * (k * d + 1) for k in K) + C * (m * len(K) + 1) == sum(p.numel() for layer in layers for p in layer.parameters())


@check
def check_by_hand():
    x, w = torch.tensor([[[1.0, 3.0, 0.0, 2.0]]]), torch.tensor([[[1.0, -1.0]]])
    assert F.conv1d(x, w).flatten().tolist() == [-2, 3, -2] and F.conv1d(x, w).relu().amax() == 3
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    parts = [count(nn.Conv1d(300, 100, k)) for k in (3, 4, 5)] + [count(nn.Linear(300, 2))]
    for text, value in zip(["90,100", "120,100", "150,100", "602"], parts):
        stated(text, value)
    stated("360,902", sum(parts))


@check
def check_conv2d_of_full_width_is_conv1d():
    conv, x = nn.Conv1d(6, 4, 3), torch.randn(2, 9, 6)
    wide = nn.Conv2d(1, 4, (3, 6))
    wide.weight.data, wide.bias.data = conv.weight.data.transpose(1, 2)[:, None], conv.bias.data
    assert torch.allclose(wide(x[:, None])[..., 0], conv(x.transpose(1, 2)), atol=1e-6)
    raises(RuntimeError, lambda: conv(x), "channels")
    assert conv(torch.randn(2, 6, 6)).shape == (2, 4, 4)


@check
def check_padding_competes_unless_masked():
    embed, conv = nn.Embedding(30, 6, padding_idx=0), nn.Conv1d(6, 40, 3)
    ids = torch.randint(1, 30, (4, 8))
    padded = F.pad(ids, (0, 5))
    scores = lambda tokens: conv(embed(tokens).transpose(1, 2)).relu()
    assert not torch.allclose(scores(ids).amax(-1), scores(padded).amax(-1), atol=1e-4)
    masked = scores(padded)
    masked[..., 8 - 3 + 1 :] = 0
    assert torch.allclose(masked.amax(-1), scores(ids).amax(-1), atol=1e-6)
    raises(RuntimeError, lambda: conv(torch.randn(1, 6, 2)), "Kernel size can't be greater than actual input size")


@check
def check_majority_class():
    from sklearn.metrics import accuracy_score, f1_score

    truth = np.array([0] * 95 + [1] * 5)
    stated("95%", accuracy_score(truth, np.zeros(100, int)))
    assert f1_score(truth, np.zeros(100, int), average="macro", zero_division=0) < 0.5


@check
def check_short_texts_keep_their_first_window():
    embed, conv = nn.Embedding(30, 6, padding_idx=0), nn.Conv1d(6, 40, 5)

    def pooled(ids, length, kept):
        scores = conv(embed(F.pad(torch.tensor([ids]), (0, length - len(ids)))).transpose(1, 2)).relu()
        return F.pad(scores, (1, 0))[..., : 1 + max(kept, len(ids) - 5 + 1)].amax(-1)

    assert torch.equal(pooled([3, 4], 5, 0), pooled([7, 9], 5, 0))                    # all windows zeroed: nothing left
    assert not torch.equal(pooled([3, 4], 5, 1), pooled([7, 9], 5, 1))
    assert torch.allclose(pooled([3, 4], 5, 1), pooled([3, 4], 12, 1), atol=1e-6)     # and independent of the padding
