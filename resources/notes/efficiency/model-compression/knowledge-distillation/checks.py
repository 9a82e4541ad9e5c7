import math

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, sourced, stated
from trainings import descend, handwritten_digits

LOSS = r"L = -(1 - \alpha) \log p^{(1)}_y + \alpha\,T^2 \sum_{i=1}^{K} q^{(T)}_i \log \frac{q^{(T)}_i}{p^{(T)}_i}"
GRADIENT = r"""
\frac{\partial}{\partial v_i}\; T^2\,\mathrm{KL}\big(q^{(T)} \,\big\|\, p^{(T)}\big) = T \left( p^{(T)}_i - q^{(T)}_i \right)
\;\xrightarrow{\;T \to \infty\;}\; \frac{(v_i - \bar{v}) - (z_i - \bar{z})}{K}
"""
TEACHER = r"\theta' \leftarrow m\,\theta' + (1 - m)\,\theta"

by_definition("Parameters", "Cost", "Distillation", "Self-distillation", "Quantization", "Pruning")
by_definition("Why not simply use the teacher's hard predictions?")
sourced("Hinton et al., arXiv 1503.02531, section 2: trained at a high temperature, used at 1", "Train and eval")
sourced("Mean teacher, arXiv 1703.01780, section 2; DINO, arXiv 2104.14294", "Mean teacher", "Train and eval")


def soft_loss(v, z, T):
    return T**2 * F.kl_div(F.log_softmax(v / T, -1), F.softmax(z / T, -1), reduction="batchmean")


@holds("Output")
@formula(LOSS)
def check_loss():
    for N, K in ((1, 2), (4, 3), (7, 50)):
        for T, alpha in ((1.0, 0.5), (4.0, 0.9), (0.5, 0.0), (10.0, 1.0)):
            v, z, y = torch.randn(N, K).double() * 3, torch.randn(N, K).double() * 3, torch.randint(0, K, (N,))
            library = (1 - alpha) * F.cross_entropy(v, y) + alpha * soft_loss(v, z, T)
            assert library.shape == ()
            q, log_p = softmax(z.numpy() / T, -1), log_softmax(v.numpy() / T, -1)
            hard = -log_softmax(v.numpy(), -1)[np.arange(N), y.numpy()]
            ours = (1 - alpha) * hard + alpha * T**2 * (q * (np.log(q) - log_p)).sum(-1)
            assert math.isclose(ours.mean(), library.item(), rel_tol=1e-9, abs_tol=1e-12) and library >= 0


@formula(GRADIENT)
def check_gradient_and_limit():
    for K in (2, 5, 30):
        for T in (0.5, 1.0, 3.0, 2000.0):
            v, z = torch.randn(1, K).double().requires_grad_(), torch.randn(1, K).double()
            soft_loss(v, z, T).backward()
            vn, zn = v.detach().numpy(), z.numpy()
            np.testing.assert_allclose(v.grad.numpy(), T * (softmax(vn / T, -1) - softmax(zn / T, -1)), atol=1e-9)
            if T == 2000.0:
                np.testing.assert_allclose(v.grad.numpy(), ((vn - vn.mean()) - (zn - zn.mean())) / K, atol=2e-3)


@formula(TEACHER)
def check_mean_teacher():
    for m in (0.9, 0.5, 0.999):
        student = nn.Linear(3, 2)
        teacher = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(m))
        teacher.update_parameters(student)
        ours = student.weight.detach().numpy().copy()
        for _ in range(4):
            nn.init.normal_(student.weight)
            ours = m * ours + (1 - m) * student.weight.detach().numpy()
            teacher.update_parameters(student)
            np.testing.assert_allclose(teacher.module.weight.detach().numpy(), ours, atol=1e-5)


@check
def check_by_hand():
    z, v = torch.tensor([[2.0, 1.0, 0.0]]), torch.zeros(1, 3, requires_grad=True)
    for T, texts in ((2, ("0.5065", "0.3072", "0.1863")), (1, ("0.6652", "0.2447", "0.0900"))):
        for text, value in zip(texts, F.softmax(z / T, -1)[0]):
            stated(text, value)
    stated("1.09861", math.log(3))
    stated("1.02019", torch.distributions.Categorical(logits=z / 2).entropy())
    loss = soft_loss(v, z, 2.0)
    loss.backward()
    stated("0.07842", loss.detach() / 4)
    stated("0.3137", loss.detach())
    stated("−0.3463", v.grad[0, 0])
    stated("0.33333", 1 / 3)
    stated("0.50648", F.softmax(z / 2, -1)[0, 0])


@holds("Input")
@pitfall("The soft loss is hundreds of times too small")
def check_reductions():
    v, z = torch.randn(4, 1000), torch.randn(4, 1000)
    assert nn.KLDivLoss().reduction == "mean"
    log_p, q = F.log_softmax(v, -1), F.softmax(z, -1)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean = F.kl_div(log_p, q, reduction="mean")
    stated("1,000", F.kl_div(log_p, q, reduction="batchmean") / mean)
    v, z = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    log_p, q = F.log_softmax(v, -1), F.softmax(z, -1)
    assert torch.allclose(
        F.kl_div(log_p, q, reduction="batchmean"),
        5 * F.kl_div(log_p.flatten(0, 1), q.flatten(0, 1), reduction="batchmean"),
    )


@pitfall("The loss is negative, or training goes the wrong way")
def check_argument_order_and_logs():
    z, v = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    assert F.kl_div(F.softmax(v, -1), F.softmax(z, -1), reduction="batchmean") < 0
    right = F.kl_div(F.log_softmax(v, -1), F.softmax(z, -1), reduction="batchmean")
    assert torch.allclose(
        right, F.kl_div(F.log_softmax(v, -1), F.log_softmax(z, -1), reduction="batchmean", log_target=True)
    )
    assert not torch.allclose(right, F.kl_div(F.log_softmax(z, -1), F.softmax(v, -1), reduction="batchmean"), atol=0.01)
    for good in (True, False):
        v = torch.zeros(1, 3, requires_grad=True)
        for _ in range(300):
            p = F.log_softmax(v, -1) if good else F.softmax(v, -1)
            (gradient,) = torch.autograd.grad(F.kl_div(p, F.softmax(z, -1), reduction="batchmean"), v)
            v = (v - gradient).detach().requires_grad_()
        top = F.softmax(v, -1).max()
        assert torch.allclose(F.softmax(v, -1), F.softmax(z, -1), atol=0.01) if good else top > 0.98
    z, v = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), torch.zeros(2, 3, requires_grad=True)
    for _ in range(600):  # each row to the class of its own teacher, not all rows to one
        (gradient,) = torch.autograd.grad(F.kl_div(F.softmax(v, -1), F.softmax(z, -1), reduction="batchmean"), v)
        v = (v - gradient).detach().requires_grad_()
    assert F.softmax(v, -1)[[0, 1], [0, 2]].min() > 0.95


@pitfall("A higher temperature seems to switch distillation off")
def check_gradient_without_the_factor_falls_as_one_over_t_squared():
    z, alpha = torch.tensor([[3.0, 1.0, -1.0, 0.0]]), 0.9
    share = {False: [], True: []}
    for T in (8.0, 16.0, 32.0):
        for factor in share:
            v = torch.tensor([[0.0, 1.0, 0.5, -1.0]], requires_grad=True)
            (soft,) = torch.autograd.grad(alpha * soft_loss(v, z, T) / (1 if factor else T**2), v)
            (hard,) = torch.autograd.grad((1 - alpha) * F.cross_entropy(v, torch.tensor([0])), v)
            share[factor].append(float(soft.norm() / hard.norm()))
    fallen = share[False]
    assert 3.6 < fallen[0] / fallen[1] < 4.4 and 3.8 < fallen[1] / fallen[2] < 4.2 and fallen[2] < 0.05
    assert min(share[True]) > 1 and max(share[True]) < 1.3 * min(share[True])


@pitfall("The teacher's targets jump about")
def check_teacher_in_training_mode():
    x = torch.randn(16, 8)
    for layer in (nn.Dropout(0.5), nn.BatchNorm1d(8)):
        teacher = nn.Sequential(layer, nn.Linear(8, 3))
        with torch.no_grad():  # alone it is no cure
            for others in (x[:8], x[8:]):
                teacher(others)
            jumping = (teacher(x)[:8] - teacher(x[:8])).abs().max()
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.num_batches_tracked == 4
        teacher.eval()
        with torch.no_grad():
            steady = (teacher(x)[:8] - teacher(x[:8])).abs().max()
            assert not teacher(x).requires_grad
        holder = nn.ModuleList([teacher])
        holder.train()
        assert teacher.training and layer.training  # hence eval() again
        assert jumping > 0.05 and steady < 1e-5
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.num_batches_tracked == 4


def fitted(loss, width, steps):
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    descend(optimizer, lambda: loss(network), steps)
    return network.eval()


@pitfall("A better teacher gives a worse student")
def check_label_smoothing_spoils_a_better_teacher():
    """The transfer images lack three digits, so that the student depends on what the teacher says about wrong classes."""
    x, y = handwritten_digits()
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    transfer = x[:1000][y[:1000] < 7]
    score = lambda network: (network(x[1000:]).argmax(1) == y[1000:]).float().mean().item()
    pairs = []
    for smoothing, steps in ((0.0, 40), (0.2, 200)):
        teacher = fitted(lambda net: F.cross_entropy(net(x[:1000]), y[:1000], label_smoothing=smoothing), 128, steps)
        with torch.no_grad():
            z = teacher(transfer)
        pairs.append((score(teacher), score(fitted(lambda net: soft_loss(net(transfer), z, 4.0), 64, 120))))
    (plain, good), (smoothed, poor) = pairs
    assert smoothed > plain + 0.01 and good > poor + 0.08
    by_own_score, by_student = max(pairs), max(pairs, key=lambda pair: pair[1])
    assert by_own_score[1] == poor and by_student[1] == good


@holds("Does distillation need labels?")
def check_student_without_labels():
    x, y = handwritten_digits()
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    teacher = fitted(lambda net: F.cross_entropy(net(x[:700]), y[:700]), 64, 100)
    with torch.no_grad():
        z = teacher(x[700:1400])
    student = fitted(lambda net: soft_loss(net(x[700:1400]), z, 4.0), 32, 100)  # no label enters
    assert (student(x[1400:]).argmax(1) == y[1400:]).float().mean() > 0.8


@holds("Is cross-entropy with soft targets the same as KL?")
def check_cross_entropy_has_the_same_gradient():
    v, z = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5)
    (first,) = torch.autograd.grad(F.cross_entropy(v, F.softmax(z, -1)), v)
    (second,) = torch.autograd.grad(soft_loss(v, z, 1.0), v)
    assert torch.allclose(first, second, atol=1e-6)
    gap = F.cross_entropy(v, F.softmax(z, -1)) - soft_loss(v, z, 1.0)
    assert torch.allclose(gap, torch.distributions.Categorical(logits=z).entropy().mean(), atol=1e-5)


@check
def check_buffers_are_copied_not_averaged():
    for averaged, expected in ((False, 5.0), (True, 0.5)):
        student = nn.BatchNorm1d(1)
        teacher = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=averaged)
        teacher.update_parameters(student)
        student.running_mean += 5
        teacher.update_parameters(student)
        assert abs(teacher.module.running_mean.item() - expected) < 1e-5


@check
def check_figure_of_the_gradient():
    figure = figure_of(__file__)
    z = torch.tensor([[8.0, 3.0, 1.0, 0.0, -2.0]])
    scaled, plain, limit = figure.norms(z, (1, 2, 4, 8, 16, 32))
    assert all(later < earlier for earlier, later in zip(plain, plain[1:])) and abs(scaled[-1] / limit - 1) < 0.1


@holds("What do extreme temperatures do?")
def check_extreme_temperatures():
    z = torch.tensor([2.0, 1.0, 0.0])
    assert torch.allclose(F.softmax(z / 0.01, -1), torch.tensor([1.0, 0.0, 0.0]))
    assert torch.allclose(F.softmax(z / 1e4, -1), torch.full((3,), 1 / 3), atol=1e-3)
    check_gradient_and_limit()
