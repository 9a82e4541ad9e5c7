import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated

LOOKUP = r"y = e_i^{\top} W = W_{i,:}"
GRADIENT = r"\frac{\partial L}{\partial W_{v,:}} = \sum_{n:\, i_n = v} \frac{\partial L}{\partial y_n}"
BAG = r"y = \frac{1}{m}\sum_{k=1}^{m} W_{i_k,:}"

by_definition("`nn.Embedding`", "pretrained word vectors")
sourced("Radford et al. 2019 (GPT-2), table 2: the smallest model has width 768", "How large should $D$ be?")
sourced("Press and Wolf, arXiv 1608.05859, abstract", "What is weight tying?")


@holds("Input → output", "How does an embedding differ from a linear layer?")
@formula(LOOKUP)
def check_lookup_equals_one_hot_product():
    for rows, width, shape in ((5, 3, (4,)), (1, 2, (2, 3)), (9, 1, (2, 2, 2)), (4, 6, ())):
        layer = nn.Embedding(rows, width, dtype=torch.float64)
        i = torch.randint(0, rows, shape)
        table = layer.weight.detach().numpy()
        ours = np.eye(rows)[i.numpy()] @ table
        y = layer(i)
        assert y.shape == (*shape, width) and y.dtype == torch.float64
        np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-12)
        np.testing.assert_array_equal(table[i.numpy()], y.detach().numpy())
        assert torch.equal(layer(i.int()), y)
        linear = nn.Linear(rows, width, bias=False, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(layer.weight.T)
        assert torch.allclose(linear(F.one_hot(i, rows).double()), y)


@formula(GRADIENT)
def check_gradient_adds_up_over_positions():
    for shape, padding in (((6,), None), ((3, 4), None), ((20,), 2)):
        layer = nn.Embedding(5, 3, padding_idx=padding, dtype=torch.float64)
        i = torch.randint(0, 5, shape)
        upstream = torch.randn(*shape, 3, dtype=torch.float64)
        layer(i).backward(upstream)
        wanted = np.zeros((5, 3))
        for index, row in zip(i.flatten().tolist(), upstream.reshape(-1, 3).numpy()):
            if index != padding:
                wanted[index] += row
        np.testing.assert_allclose(wanted, layer.weight.grad.numpy(), rtol=1e-12)


@holds("`nn.EmbeddingBag`")
@formula(BAG)
def check_bag_is_the_mean():
    layer = nn.EmbeddingBag(7, 4, dtype=torch.float64)
    assert layer.mode == "mean"
    for m in (1, 3, 6):
        i = torch.randint(0, 7, (2, m))
        ours = sum(layer.weight.detach().numpy()[i[:, k].numpy()] for k in range(m)) / m
        np.testing.assert_allclose(ours, layer(i).detach().numpy(), rtol=1e-12)
        assert layer(i).shape == (2, 4)  # one vector per bag


@check
def check_worked_example():
    layer = nn.Embedding.from_pretrained(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]), freeze=False)
    y = layer(torch.tensor([2, 0, 2]))
    assert y.tolist() == [[3, 1], [1, 0], [3, 1]]
    y.sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0], [2, 2]]
    for text, value in zip(("2.3333", "0.6667"), y.mean(0)):
        stated(text, value)


@holds("Parameters", "Defaults", "What is weight tying?")
def check_parameters_and_defaults():
    stated("23,440,896", sum(p.numel() for p in nn.Embedding(30522, 768, device="meta").parameters()))
    stated("38,597,376", nn.Embedding(50257, 768, device="meta").weight.numel())
    defaults = {n: p.default for n, p in inspect.signature(nn.Embedding).parameters.items()}
    assert defaults["padding_idx"] is None and defaults["max_norm"] is None
    assert defaults["scale_grad_by_freq"] is False and defaults["sparse"] is False
    rows = nn.Embedding(400, 500).weight.detach()
    assert abs(float(rows.std()) - 1) < 0.01 and abs(float(rows.mean())) < 0.01 and float(rows.abs().max()) > 3.5
    assert [name for name, _ in nn.Embedding(8, 4).named_parameters()] == ["weight"]
    table, head = nn.Embedding(8, 4), nn.Linear(4, 8, bias=False)
    assert table.weight.shape == head.weight.shape == (8, 4)
    model = nn.ModuleList([table, head])
    before = sum(p.numel() for p in model.parameters())
    head.weight = table.weight
    assert before - sum(p.numel() for p in model.parameters()) == 8 * 4


@holds("Cost", "one-hot + `nn.Linear` without bias")
def check_cost():
    dense, linear, i = nn.Embedding(50, 4), nn.Linear(50, 4, bias=False), torch.tensor([3, 3, 7])
    with torch.no_grad():
        linear.weight.copy_(dense.weight.T)
    work = []
    for call in (lambda: dense(i), lambda: linear(F.one_hot(i, 50).float())):
        with FlopCounterMode(display=False) as counter:
            call()
        work.append(counter.get_total_flops())
    assert work == [0, 3 * 2 * 50 * 4]  # a multiply-add counts as two operations
    assert torch.allclose(dense(i), linear(F.one_hot(i, 50).float()))
    mixture = torch.rand(2, 50).softmax(-1)
    assert torch.allclose(linear(mixture), (mixture[:, :, None] * dense.weight).sum(1), atol=1e-6)
    dense(i).sum().backward()
    assert dense.weight.grad.shape == (50, 4) and not dense.weight.grad.is_sparse
    sparse = nn.Embedding(50, 4, sparse=True)
    sparse(i).sum().backward()
    assert sparse.weight.grad.is_sparse


@holds("BERT")
def check_one_word_in_two_sentences():
    network = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    table = nn.Embedding(10, 8)
    first, second = torch.tensor([[5, 1, 2]]), torch.tensor([[5, 3, 4]])
    assert torch.equal(table(first)[:, 0], table(second)[:, 0])
    assert (network(table(first)) - network(table(second)))[:, 0].abs().max() > 1e-3


@holds("How large should $D$ be?")
def check_width():
    assert nn.Embedding(9, 8).weight.numel() == 2 * nn.Embedding(9, 4).weight.numel() == 9 * 8
    drawn = figure_of(__file__)
    month = torch.arange(drawn.MONTHS)
    targets = torch.stack([(month + step) % drawn.MONTHS for step in (-1, 0, 1)], 1).tolist()
    shared = [len(set(a) & set(b)) for a, b in zip(targets, targets[1:] + targets[:1], strict=True)]
    assert set(shared) == {2}


@holds("Same in train and eval?")
def check_max_norm_changes_the_weight_in_both_modes():
    plain, i = nn.Embedding(6, 4), torch.tensor([1, 5])
    before = plain.weight.detach().clone()
    assert torch.equal(plain.train()(i), plain.eval()(i)) and torch.equal(plain.weight, before)
    for mode in (True, False):
        layer = nn.Embedding(6, 40, max_norm=1.0).train(mode)
        before = layer.weight.detach().clone()
        layer(torch.tensor([1]))
        changed = (layer.weight.detach() - before).abs().sum(1) > 0
        assert changed.tolist() == [False, True, False, False, False, False]
        assert abs(float(layer.weight[1].detach().norm()) - 1) < 1e-3


@holds("Range of the input")
@pitfall('"index out of range in self", on a GPU a device-side assert')
def check_bad_indices():
    """The message of the GPU is not run."""
    for bad in (10, -1):
        raises(IndexError, lambda: nn.Embedding(10, 3)(torch.tensor([bad])), "index out of range in self")
    tokenizer = {word: number for number, word in enumerate(["<unknown>", *"abcdefghij"])}
    x = torch.tensor([tokenizer.get(word, tokenizer["<unknown>"]) for word in "ajz"])
    assert x.min() == 0 and x.max() == 10
    raises(IndexError, lambda: nn.Embedding(10, 3)(x), "index out of range in self")
    assert nn.Embedding(len(tokenizer), 3)(x).shape == (3, 3)
    marked = torch.tensor([4, -1, 2])  # -1 stands for unknown: one more row alone does not help
    raises(IndexError, lambda: nn.Embedding(len(tokenizer), 3)(marked), "index out of range in self")
    assert nn.Embedding(len(tokenizer), 3)(marked.where(marked >= 0, 0)).shape == (3, 3)
    raises(RuntimeError, lambda: nn.Embedding(10, 3)(torch.tensor([1.0])), "Long, Int")


@pitfall("The padding vector is not zero")
def check_padding_row():
    layer = nn.Embedding(5, 3, padding_idx=0)
    assert (layer.weight[0] == 0).all()
    nn.init.normal_(layer.weight)
    assert (layer.weight[0] != 0).all()
    given = nn.Embedding.from_pretrained(torch.ones(5, 3), padding_idx=0)
    assert (given.weight[0] == 1).all()
    given.weight.requires_grad_()
    for table in (layer, given):
        with torch.no_grad():
            table.weight[0] = 0
        optimizer = torch.optim.AdamW(table.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            y = table(torch.tensor([[1, 1, 0, 0]]))
            y.sum().backward()
            optimizer.step()
        assert table.weight.grad[0].tolist() == [0, 0, 0] and table.weight.grad[1].tolist() == [2, 2, 2]
        assert (table.weight[0] == 0).all()
        assert torch.allclose(y.mean(1), y[:, :2].mean(1) / 2)  # unmasked, the two zeros halve the mean
    tied, head = nn.Embedding(5, 3, padding_idx=0), nn.Linear(3, 5, bias=False)
    head.weight = tied.weight
    F.cross_entropy(head(tied(torch.tensor([1, 2]))), torch.tensor([2, 3])).backward()
    assert (tied.weight.grad[0] != 0).any()  # from the output layer, which padding_idx does not block
    optimizer = torch.optim.AdamW(tied.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.step()
        assert (tied.weight[0] != 0).any()
        with torch.no_grad():
            tied.weight[0] = 0
        optimizer.zero_grad()
        F.cross_entropy(head(tied(torch.tensor([1, 0]))), torch.tensor([2, 3])).backward()
        assert (tied(torch.tensor([0])) == 0).all()


@pitfall("Rows of words that did not occur change too")
def check_unused_rows_change():
    layer = nn.Embedding(6, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)

    def step(index):
        before = layer.weight.detach().clone()
        optimizer.zero_grad()
        layer(torch.tensor([index])).sum().backward()
        optimizer.step()
        return ((layer.weight.detach() - before).abs().sum(1) > 1e-3).tolist()

    assert step(1) == [False, True, False, False, False, False]
    assert step(2) == [False, True, True, False, False, False]

    layer = nn.Embedding(6, 3)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    step(2)
    stated("1%", 1 - (layer.weight.detach() / before)[4, 0])
    layer = nn.Embedding(6, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.0)
    assert step(1) == [False, True, False, False, False, False]
    assert step(2) == [False, True, True, False, False, False]  # no shrinking, but row 1 is still pushed
    sparse = nn.Embedding(6, 3, sparse=True)
    before = sparse.weight.detach().clone()
    optimizer, row = torch.optim.SparseAdam(list(sparse.parameters()), lr=0.1), []
    for index in (1, 2):
        optimizer.zero_grad()
        sparse(torch.tensor([index])).sum().backward()
        optimizer.step()
        row.append(sparse.weight[1].tolist())
    assert row[0] == row[1]
    tied, head = nn.Embedding(6, 3, sparse=True), nn.Linear(3, 6, bias=False)
    head.weight = tied.weight
    head(tied(torch.tensor([1]))).sum().backward()
    raises(RuntimeError, torch.optim.SparseAdam(list(tied.parameters())).step, "does not support dense gradients")
    assert ((sparse.weight.detach() - before).abs().sum(1) > 0).tolist() == [False, True, True, False, False, False]


@pitfall('"Adam does not support sparse gradients"')
def check_sparse_gradients_and_optimizers():
    for kind, options, works in (
        (torch.optim.Adam, {}, False),
        (torch.optim.SparseAdam, {}, True),
        (torch.optim.SGD, {"lr": 0.1}, True),
        (torch.optim.Adagrad, {"lr": 0.1}, True),
        (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.1}, False),
        (torch.optim.Adagrad, {"weight_decay": 0.1}, False),
    ):
        layer = nn.Embedding(6, 3, sparse=True)
        layer(torch.tensor([1])).sum().backward()
        assert layer.weight.grad.is_sparse
        try:
            kind(layer.parameters(), **options).step()
        except RuntimeError as error:
            assert not works and (
                kind is not torch.optim.Adam or "Adam does not support sparse gradients" in str(error)
            )
        else:
            assert works
    both = [nn.Embedding(6, 3, sparse=True), nn.Linear(3, 1)]
    both[1](both[0](torch.tensor([1]))).sum().backward()
    together = torch.optim.SparseAdam([p for module in both for p in module.parameters()])
    raises(RuntimeError, together.step, "SparseAdam does not support dense gradients")
    raises(NotImplementedError, lambda: nn.utils.clip_grad_norm_([p for m in both for p in m.parameters()], 1.0))
    raises(NotImplementedError, lambda: nn.utils.clip_grad_value_(list(both[0].parameters()), 1.0))
    nn.utils.clip_grad_norm_(both[1].parameters(), 1.0)
    torch.optim.SparseAdam(both[0].parameters()).step()
    torch.optim.Adam(both[1].parameters()).step()


@check
def check_scaling_by_frequency():
    layer = nn.Embedding(4, 2, scale_grad_by_freq=True)
    layer(torch.tensor([1, 1, 1, 2])).backward(torch.tensor([[3.0, 6.0], [0.0, 3.0], [3.0, 0.0], [5.0, 7.0]]))
    assert layer.weight.grad.tolist() == [[0, 0], [2, 3], [5, 7], [0, 0]]


@check
def check_one_hot_vectors_are_equally_far_apart():
    distances = torch.cdist(torch.eye(7), torch.eye(7))
    assert torch.allclose(distances[~torch.eye(7, dtype=torch.bool)], torch.tensor(2.0).sqrt())
    assert F.one_hot(torch.tensor([2]), 7).shape == (1, 7)
