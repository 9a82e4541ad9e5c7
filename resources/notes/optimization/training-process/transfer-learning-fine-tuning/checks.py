import copy

import numpy as np
import torch
from torch import nn
from torchvision.models import ResNet18_Weights

from note_checks import by_definition, figure_of, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

LAYERWISE = r"\theta_l \leftarrow \theta_l - \eta\,\xi^{D-l}\, \frac{\partial L}{\partial \theta_l}"
LORA = r"""
y = W_0 x + \frac{\alpha}{r}\, B A x, \qquad A \in \mathbb{R}^{r \times I},\; B \in \mathbb{R}^{O \times r}, \qquad P = r(I + O)
"""

by_definition("Input", "training from scratch")
sourced("BERT, arXiv 1810.04805, appendix A.3", "Learning rates")


def count(parameters):
    return sum(p.numel() for p in parameters)


@formula(LAYERWISE)
def check_layerwise_rates():
    for D, xi in ((3, 0.5), (4, 0.1), (3, 0.0)):
        model = nn.Sequential(*[nn.Linear(4, 4, dtype=torch.float64) for _ in range(D)])
        before = copy.deepcopy(model)
        rates = [0.2 * xi ** (D - l) for l in range(1, D + 1)]
        assert rates[-1] == 0.2 and np.allclose(
            rates[:-1], xi * np.array(rates[1:])
        )  # the top at full rate, each below at ξ times the next
        optimizer = torch.optim.SGD([{"params": layer.parameters(), "lr": rate} for layer, rate in zip(model, rates)])
        (model(torch.randn(8, 4, dtype=torch.float64)) ** 2).mean().backward()
        optimizer.step()
        for layer, old, rate in zip(model, before, rates):
            for p, q in zip(layer.parameters(), old.parameters()):
                np.testing.assert_allclose(
                    p.detach().numpy(), (q - rate * p.grad).detach().numpy(), rtol=1e-12, atol=1e-15
                )
                assert (rate > 0) or torch.equal(p, q)


@formula(LORA)
@holds("Why does LoRA start with $B = 0$?")
def check_lora():  # verified: formula-only, no LoRA in PyTorch; compared with the merged nn.Linear
    for I, O, r, alpha in ((7, 5, 2, 4.0), (3, 6, 1, 1.0)):
        W0, A, B, x = (np.random.randn(*shape) for shape in ((O, I), (r, I), (O, r), (I,)))
        merged = nn.Linear(I, O, bias=False, dtype=torch.float64)
        with torch.no_grad():
            merged.weight.copy_(torch.tensor(W0 + alpha / r * B @ A))
        np.testing.assert_allclose(
            W0 @ x + alpha / r * (B @ (A @ x)), merged(torch.tensor(x)).detach().numpy(), rtol=1e-9, atol=1e-12
        )
        assert A.size + B.size == r * (I + O) and np.linalg.matrix_rank(B @ A) <= r
    A, B, x = torch.randn(2, 4, requires_grad=True), torch.zeros(3, 2, requires_grad=True), torch.randn(4)
    (B @ (A @ x)).sum().backward()
    assert (A.grad == 0).all() and (B.grad != 0).any()
    A = torch.zeros(2, 4, requires_grad=True)
    B.grad = None
    (B @ (A @ x)).sum().backward()
    assert (A.grad == 0).all() and (B.grad == 0).all()


@holds("New parameters", "Trained")
def check_numbers():
    import torchvision

    model = torchvision.models.resnet18(weights=None)
    stated("11,689,512", count(model.parameters()))
    model.fc = nn.Linear(512, 10)
    stated("5,130", count(model.fc.parameters()))
    stated("11,181,642", count(model.parameters()))
    stated("0.046%", 5130 / count(model.parameters()))
    for text, l in (("0.00025", 1), ("0.0005", 2), ("0.001", 3)):
        stated(text, 0.001 * 0.5 ** (3 - l))
    stated("1,536", 768 + 768)
    stated("12,288", 8 * 1536)
    stated("589,824", 768 * 768)
    stated("2.1%", 12288 / 589824)


@pitfall('"size mismatch for fc.weight", even with `strict=False`')
def check_size_mismatch_despite_strict_false():
    source = nn.ModuleDict({"body": nn.Linear(3, 3), "fc": nn.Linear(3, 5)}).state_dict()
    target = nn.ModuleDict({"body": nn.Linear(3, 3), "fc": nn.Linear(3, 2)})
    raises(RuntimeError, lambda: target.load_state_dict(source, strict=False), "size mismatch for fc.weight")
    rest = {n: v for n, v in source.items() if not n.startswith("fc.")}
    raises(RuntimeError, lambda: target.load_state_dict(rest), "Missing key")
    found = target.load_state_dict(rest, strict=False)
    assert found.missing_keys == ["fc.weight", "fc.bias"] and torch.equal(target["body"].weight, source["body.weight"])
    first = nn.ModuleDict({"body": nn.Linear(3, 3), "fc": nn.Linear(3, 5)})
    first.load_state_dict(source)
    first["fc"] = nn.Linear(3, 2)
    raises(RuntimeError, lambda: first.load_state_dict(source), "size mismatch for fc.weight")
    assert torch.equal(first["body"].weight, source["body.weight"]) and first["fc"](torch.ones(3)).shape == (2,)


@pitfall("Frozen layers still change")
def check_frozen_batch_norm_moves_in_train_mode():
    frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    model = nn.Sequential(frozen, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for mended in (False, True):
        before = copy.deepcopy(frozen.state_dict())
        model.train()
        if mended:
            frozen.eval()
        descend(optimizer, lambda: model(torch.randn(16, 4) + 2).square().sum(), 3)
        changed = {name for name, value in frozen.state_dict().items() if not torch.equal(value, before[name])}
        assert changed == (set() if mended else {"1.running_mean", "1.running_var", "1.num_batches_tracked"})


@pitfall("The new head does not learn")
def check_optimizer_built_too_early():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model[1] = nn.Linear(3, 4)
    before = model[1].weight.detach().clone()
    model(torch.randn(5, 3)).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(before, model[1].weight)
    model.requires_grad_(False)
    raises(RuntimeError, lambda: model(torch.randn(5, 3)).sum().backward(), "does not require grad")
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).requires_grad_(False)
    model[1] = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    old = copy.deepcopy(model)
    model(torch.randn(5, 3)).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(old[0].weight, model[0].weight) and not torch.equal(old[1].weight, model[1].weight)


def digits():
    """Images, digits, a grouping of them into five classes; rows for pretraining, fine-tuning and testing."""
    x, y = handwritten_digits()
    return x, y, y * 3 % 10 // 2, torch.randperm(len(y)).split([900, 100, 797])


def fit(model, parameters, x, y, rate, steps, warm=0):
    optimizer = torch.optim.Adam(parameters, rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / (warm or 1))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def accuracy(model, x, y):
    return (model(x).argmax(1) == y).float().mean().item()


@pitfall("Fine-tuning destroys what was learned")
def check_head_first_keeps_the_body():
    x, y, groups, (source, target, test) = digits()
    body, old_head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()), nn.Linear(64, 10)
    pretrained = nn.Sequential(body, old_head)
    fit(pretrained, pretrained.parameters(), x[source], y[source], 0.03, 200)
    learned = accuracy(pretrained, x[test], y[test])
    kept = {}
    for way in ("at once", "head first"):
        model = nn.Sequential(copy.deepcopy(body), nn.Linear(64, 5))
        if way == "at once":
            fit(model, model.parameters(), x[target], groups[target], 0.03, 100)
        else:
            fit(model, model[1].parameters(), x[target], groups[target], 0.03, 100)
            fit(model, model.parameters(), x[target], groups[target], 0.0015, 100, warm=10)
        kept[way] = accuracy(nn.Sequential(model[0], old_head), x[test], y[test])
    assert kept["at once"] < learned - 0.15 and kept["head first"] > learned - 0.05
    assert accuracy(model, x[test], groups[test]) > 0.85


def probe(features, labels, train, test, rate=0.01):
    head = nn.Linear(features.shape[1], int(labels.max()) + 1)
    fit(head, head.parameters(), features[train], labels[train], rate, 300)
    return accuracy(head, features[test], labels[test])


@pitfall("Good features, poor accuracy")
def check_preprocessing_of_images():
    x, y, groups, (source, target, test) = digits()
    images = torch.stack([x, 0.5 * x.roll(1, 1), 1 - x], 1).reshape(-1, 3, 8, 8)
    mean, deviation = (moment(images[source], (0, 2, 3), keepdim=True) for moment in (torch.mean, torch.std))
    body = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
    )
    pretrained = nn.Sequential(body, nn.Linear(128, 10))
    as_pretrained = (images - mean) / deviation
    fit(pretrained, pretrained.parameters(), as_pretrained[source], y[source], 0.01, 150)
    half_as_large = nn.functional.pad(nn.functional.avg_pool2d(as_pretrained, 2), (2, 2, 2, 2))
    inputs = as_pretrained, as_pretrained.flip(1), images * 255, half_as_large
    right, *wrong = (probe(body(pixels).detach(), groups, target, test) for pixels in inputs)
    assert max(wrong) < right - 0.03, (right, wrong)
    transforms = ResNet18_Weights.DEFAULT.transforms()
    image = torch.randint(0, 256, (3, 300, 400), dtype=torch.uint8)
    out = transforms(image)
    assert (transforms(image / 255) - out).abs().max() < 0.05 and transforms(image.float()).max() > 100 > out.max()
    assert out.shape == (3, 224, 224) and transforms.mean == [0.485, 0.456, 0.406]


@pitfall("Good features, poor accuracy")
def check_preprocessing_of_texts():
    def documents(count):
        topics, about = torch.randint(0, 4, (count,)), torch.rand(count, 12) < 0.6
        of_the_topic = topics[:, None] * 50 + torch.randint(0, 50, (count, 12))
        return torch.where(about, of_the_topic, torch.randint(0, 200, (count, 12))), topics

    (words, topics), body, other_tokenizer = documents(3000), nn.EmbeddingBag(200, 8), torch.randperm(200)
    pretrained = nn.Sequential(body, nn.Linear(8, 4))
    fit(pretrained, pretrained.parameters(), words[:2000], topics[:2000], 0.05, 150)
    few, test = slice(2000, 2040), slice(2040, 3000)
    right, wrong = (probe(body(ids).detach(), topics // 2, few, test, 0.05) for ids in (words, other_tokenizer[words]))
    assert right > 0.9 and wrong < 0.75


@holds("Freeze with `requires_grad_(False)` or with `no_grad()`?")
def check_gradient_passes_frozen_layers():
    first, frozen = nn.Linear(3, 3), nn.Linear(3, 1).requires_grad_(False)
    frozen(first(torch.randn(4, 3))).sum().backward()
    assert float(first.weight.grad.abs().sum()) > 0 and frozen.weight.grad is None
    with torch.no_grad():
        y = frozen(first(torch.randn(4, 3)))
    assert not y.requires_grad


def reached(trained, groups=None):
    """Of four layers: those the backward pass goes through, those that a step of Adam changes; how many states."""
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(4))).requires_grad_(False)
    for layer in trained:
        model[layer].requires_grad_(True)
    passed = []
    for number, layer in enumerate(model):

        def note(module, into, out, number=number):
            if out.requires_grad:  # the backward pass comes this far
                passed.append(number)

        layer.register_forward_hook(note)
    optimizer = torch.optim.Adam(groups(model) if groups else model.parameters(), 0.01)
    before = copy.deepcopy(model)
    model(torch.randn(6, 5)).square().sum().backward()
    optimizer.step()
    changed = [n for n in range(4) if not torch.equal(before[n].weight, model[n].weight)]
    return sorted(passed), changed, len(optimizer.state)


@holds("full fine-tuning", "last stages only", "Trained", "Learning rates")
def check_what_is_trained():
    assert reached([0, 1, 2, 3]) == ([0, 1, 2, 3], [0, 1, 2, 3], 8)
    assert reached([2, 3]) == ([2, 3], [2, 3], 4) and reached([3]) == ([3], [3], 2)

    def rates(model):
        return [{"params": model[:3].parameters(), "lr": 0.0}, {"params": model[3].parameters()}]

    assert reached([0, 1, 2, 3], rates)[1] == [3]


@holds("feature extraction (linear probe)", "Same in train and eval?")
def check_features_can_be_stored():
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)).requires_grad_(False)
    x = torch.randn(20, 6)
    assert not torch.equal(body(x), body(x))
    body.eval()
    stored, y = body(x), torch.randint(0, 3, (20,))
    head = nn.Linear(8, 3)
    fit(head, head.parameters(), stored, y, 0.1, 5)
    assert torch.equal(body(x), stored)


@holds("LoRA")
def check_lora_leaves_the_base():
    base, x = nn.Linear(6, 4).requires_grad_(False), torch.randn(10, 6)
    before, outputs = base.weight.clone(), []
    for wanted in (torch.zeros(10, 4), torch.ones(10, 4)):
        A, B = torch.randn(2, 6, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
        optimizer = torch.optim.Adam([A, B], 0.05)
        descend(optimizer, lambda: (base(x) + x @ A.T @ B.T - wanted).square().sum(), 30)
        outputs.append((base(x) + x @ A.T @ B.T).detach())
        assert (outputs[-1] - wanted).square().sum() < (base(x) - wanted).square().sum()
    assert torch.equal(base.weight, before) and not torch.allclose(*outputs, atol=0.1)


@holds("Does pretraining always help?")
def check_negative_transfer():
    drawn, (x, y, groups, (source, _, _)) = figure_of(__file__), digits()
    pretrained = drawn.network()
    drawn.fit(pretrained, pretrained.parameters(), x[source], y[source], 150)
    shuffled, rows = x[:, torch.randperm(64)], torch.randperm(len(y))[:800]
    frozen, scratch = (
        np.mean([drawn.accuracy(shuffled[rows], groups[rows], pretrained[0], way, 20, seed) for seed in range(4)])
        for way in ("frozen features", "from scratch")
    )
    assert frozen < scratch - 0.03, (frozen, scratch)
