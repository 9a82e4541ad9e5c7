import copy
import math

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.ops import StochasticDepth

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, sourced, stated, unexecuted

OUTPUTS = r"""
P_s = \mathrm{softmax}\left( \frac{g_s}{\tau_s} \right), \qquad P_t = \mathrm{softmax}\left( \frac{g_t - c}{\tau_t} \right)
"""
LOSS = r"""
L = -\frac{1}{G (V - 1)} \sum_{a=1}^{G} \sum_{\substack{b=1 \\ b \ne a}}^{V} \sum_{k=1}^{K} P_t^{(a)}(k) \ln P_s^{(b)}(k)
"""
UPDATES = (
    r"\theta_t \leftarrow m\, \theta_t + (1 - m)\, \theta_s, \qquad c \leftarrow \lambda c + (1 - \lambda)\, \bar{g}_t"
)

by_definition("Cost", "Distillation", "Is this knowledge distillation?")
sourced(
    "DINO, arXiv 2104.14294, and facebookresearch/dino, main_dino.py",
    "Input",
    "Output",
    "Parameters",
    "Defaults",
    "Same in train and eval?",
    "DINO",
    "Who teaches the teacher?",
    "Why do only global crops go to the teacher?",
    "Is this knowledge distillation?",
    "What is it good for without fine-tuning?",
)
sourced("DINOv2, arXiv 2304.07193", "DINOv2")
sourced("MoCo 1911.05722, SimCLR 2002.05709", "MoCo v1, SimCLR")
sourced("BYOL 2006.07733, SimSiam 2011.10566", "BYOL, SimSiam")


def soft(z):
    e = np.exp(z - z.max())
    return e / e.sum()


@formula(OUTPUTS, LOSS)
def check_loss():
    for G, V, K in ((2, 10, 6), (2, 2, 3), (1, 4, 20)):
        g_s, g_t = torch.randn(V, K, dtype=torch.float64), torch.randn(G, K, dtype=torch.float64)
        c = torch.randn(K, dtype=torch.float64)
        p_t = [soft((g_t[a].numpy() - c.numpy()) / 0.04) for a in range(G)]
        p_s = [soft(g_s[b].numpy() / 0.1) for b in range(V)]
        pairs = [(a, b) for a in range(G) for b in range(V) if b != a]
        assert len(pairs) == G * (V - 1)
        ours = -sum(p_t[a][k] * math.log(p_s[b][k]) for a, b in pairs for k in range(K)) / (G * (V - 1))
        target = F.softmax((g_t - c) / 0.04, dim=1)
        library = torch.stack([F.cross_entropy(g_s[b][None] / 0.1, target[a][None]) for a, b in pairs]).mean()
        np.testing.assert_allclose(ours, library.item(), rtol=1e-9)
        kl = torch.stack(
            [F.kl_div(F.log_softmax(g_s[b] / 0.1, 0), target[a], reduction="sum") for a, b in pairs]
        ).mean()
        entropies = torch.stack([torch.special.entr(target[a]).sum() for a, _ in pairs]).mean()
        assert math.isclose(library.item(), (entropies + kl).item(), rel_tol=1e-9)


@formula(UPDATES)
def check_updates():
    student = torch.nn.Linear(3, 4).double()
    teacher = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.996))
    teacher.update_parameters(student)
    theta = student.weight.detach().numpy().copy()
    for _ in range(3):
        with torch.no_grad():
            student.weight.add_(torch.randn(4, 3, dtype=torch.float64))
        teacher.update_parameters(student)
        theta = 0.996 * theta + 0.004 * student.weight.detach().numpy()
    np.testing.assert_allclose(theta, teacher.module.weight.detach().numpy(), rtol=1e-9)
    norm = torch.nn.BatchNorm1d(4, momentum=0.1, affine=False).double()  # its running mean is the same rule, λ = 0.9
    c = np.zeros(4)
    for _ in range(3):
        g = torch.randn(5, 4, dtype=torch.float64)
        norm(g)
        c = 0.9 * c + 0.1 * g.numpy().mean(0)
    np.testing.assert_allclose(c, norm.running_mean.numpy(), rtol=1e-9)


@check
def check_by_hand():
    stated("18", 2 * (10 - 1))
    p_t = F.softmax(torch.tensor([0.06, 0.02, 0.0], dtype=torch.float64) / 0.04, dim=0)
    student = torch.tensor([0.1, 0.1, 0.0], dtype=torch.float64) / 0.1
    for text, value in zip(("0.6285", "0.2312", "0.1402", "0.4223", "0.4223", "0.1554"), (*p_t, *student.softmax(0))):
        stated(text, value)
    stated("1.002", F.cross_entropy(student[None], p_t[None]))
    stated("0.906", torch.special.entr(p_t).sum())
    for text, K in (("8.3178", 4096), ("11.0904", 65536)):
        stated(
            text,
            F.cross_entropy(torch.zeros(1, K, dtype=torch.float64), torch.full((1, K), 1 / K, dtype=torch.float64)),
        )


@check
def check_zero_needs_one_unit():
    one = torch.tensor([[50.0, 0.0, 0.0]], dtype=torch.float64)
    assert F.cross_entropy(one, one.softmax(1)).item() < 1e-12
    for _ in range(20):
        g = torch.randn(1, 5, dtype=torch.float64)
        p = (g / 0.04).softmax(1)
        assert F.cross_entropy(torch.randn(1, 5, dtype=torch.float64), p) >= torch.special.entr(p).sum() - 1e-12


@pitfall("The loss stops at exactly the same number", "The loss falls to zero")
def check_both_collapses_and_neither():
    """The shared backbone of the thread is not run: in a net this small it need not collapse."""
    trained = figure_of(__file__).trained
    loss, entropy, _ = trained(True, 0.1, steps=250)[-1]
    assert abs(loss - math.log(64)) < 0.05 and abs(entropy - math.log(64)) < 0.05
    loss, entropy, winners = trained(False, 0.04)[-1]
    assert loss < 0.05 and entropy < 0.05 and winners == 1
    loss, entropy, winners = trained(True, 0.04, steps=250)[-1]
    assert 0.3 < entropy < 3 and 0.5 < loss < 3.5 and winners > 5
    backbone = torch.nn.Linear(2, 2)
    assigned, copied = backbone, copy.deepcopy(backbone)
    with torch.no_grad():
        backbone.weight.add_(1)
    assert torch.equal(assigned.weight, backbone.weight) and not torch.equal(copied.weight, backbone.weight)


unexecuted("You found the wrong DINO", "two papers share one name")


@pitfall("The teacher follows the gradient")
def check_teacher_follows_the_gradient_only_with_both_mistakes():
    for detached in (True, False):
        for optimized in (True, False):
            student, teacher = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
            optimizer = torch.optim.AdamW([*student.parameters(), *(teacher.parameters() if optimized else ())], 0.1)
            x, before = torch.randn(8, 4), teacher.weight.detach().clone()
            g = teacher(x).detach() if detached else teacher(x)
            F.cross_entropy(student(x) / 0.1, (g / 0.04).softmax(1)).backward()
            optimizer.step()
            assert torch.equal(before, teacher.weight) == (detached or not optimized)
    student, teacher = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3).requires_grad_(False)
    optimizer = torch.optim.AdamW([*student.parameters(), *teacher.parameters()], 0.1)
    x, before, old = torch.randn(8, 4), teacher.weight.clone(), student.weight.detach().clone()
    F.cross_entropy(student(x) / 0.1, (teacher(x) / 0.04).softmax(1)).backward()
    optimizer.step()
    assert torch.equal(before, teacher.weight) and not torch.equal(old, student.weight)
    careless = copy.deepcopy(teacher)
    careless.weight.mul_(0.996).add_(student.weight, alpha=0.004)
    assert careless.weight.requires_grad
    teacher.weight.lerp_(student.weight.detach(), 0.004)
    assert not teacher.weight.requires_grad
    assert torch.allclose(teacher.weight, 0.996 * before + 0.004 * student.weight)


@holds("Input", "Output", "Parameters", "Same in train and eval?")
def check_contract():
    """A small ViT takes both sizes of crop; the class token comes first."""
    patches, head = torch.nn.Conv2d(3, 8, 16, 16), torch.nn.Linear(8, 32)
    crops = [torch.randn(2, 3, size, size, device="meta") for size in (224, 96)]
    assert [patches.to("meta")(crop).flatten(2).shape for crop in crops] == [(2, 8, 196), (2, 8, 36)]
    assert head(torch.randn(2, 8)).shape == (2, 32) and torch.randn(3, 9, 9).unsqueeze(0).shape == (1, 3, 9, 9)
    teacher = copy.deepcopy(head).requires_grad_(False)
    assert [p.shape for p in teacher.parameters()] == [p.shape for p in head.parameters()]
    drop, x = StochasticDepth(0.5, "row"), torch.ones(100, 4)
    assert (drop.train()(x) == 0).any() and torch.equal(drop.eval()(x), x)


@check
def check_tokens():
    stated("257", (224 // 14) ** 2 + 1)
