import tracemalloc

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

F0 = r"""
M_{kv} = 2 \, n \, B \, H_{kv} \, L \, d_h \, b
"""
F1 = r"""
\mathcal{L}(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B'}{D^{\beta}}
"""
F2 = r"""
N^{*} = \left( \frac{\alpha A}{\beta B'} \right)^{\frac{1}{\alpha + \beta}} \left( \frac{C}{6} \right)^{\frac{\beta}{\alpha + \beta}}
"""

# what each stores
by_definition(
    "Memory, generation",
    "prompting",
    "retrieval",
    "small model, fully fine-tuned, e.g. BERT",
)
sourced(
    "NVIDIA A100 data sheet: 312 TFLOPS in BF16 without sparsity, 2,039 GB/s for 80GB SXM",
    "Why can bandwidth limit generation?",
)
sourced(
    "Hoffmann et al., arXiv 2203.15556: Chinchilla, 70 billion parameters, 1.4 trillion tokens",
    "Bigger model or more data?",
)


def cache_bytes(n, B, heads, L, size, b):
    return 2 * n * B * heads * L * size * b


@formula(F0)
def check_cache():
    for n, B, heads, L, size, dtype in [
        (32, 1, 8, 8192, 128, torch.bfloat16),
        (3, 5, 2, 7, 16, torch.float32),
        (1, 2, 1, 1, 4, torch.int8),
    ]:
        one = torch.empty(B, heads, L, size, dtype=dtype, device="meta")
        assert sum(tensor.nbytes for _ in range(n) for tensor in (one, one)) == cache_bytes(
            n, B, heads, L, size, one.element_size()
        )


# verified: formula-only
@holds("Bigger model or more data?")
@formula(F1, F2)
def check_compute_optimum():
    for E, A, B, alpha, beta, C in [(1.69, 406.4, 410.7, 0.34, 0.28, 5.76e23), (1.5, 300.0, 900.0, 0.4, 0.3, 1e20)]:
        loss = lambda log_n: E + A / np.exp(log_n) ** alpha + B / (C / 6 / np.exp(log_n)) ** beta
        found = np.exp(minimize_scalar(loss, bounds=(10, 40), method="bounded", options={"xatol": 1e-10}).x)
        ours = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (C / 6) ** (beta / (alpha + beta))
        np.testing.assert_allclose(ours, found, rtol=1e-4)
        best = lambda C: (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (C / 6) ** (beta / (alpha + beta))
        if C == 5.76e23:  # the law alone, with the published fit, asks for less than 40 billion: one estimate of three
            assert 2.5e10 < best(C) < 4e10 and C / 6 / best(C) ** 2 > 20
        # parameters and tokens both grow
        assert best(10 * C) > 2 * best(C) and 10 * C / best(10 * C) > 2 * C / best(C)


@check
def check_numbers():
    stated("131,072", cache_bytes(32, 1, 8, 1, 128, 2))
    stated("1,073,741,824", cache_bytes(32, 1, 8, 8192, 128, 2))
    assert cache_bytes(32, 1, 32, 8192, 128, 2) == 4 * 2**30 and cache_bytes(32, 1, 8, 8192, 128, 2) == 2**30
    stated(
        "65,536", sum(p.numel() for p in (nn.Linear(4096, 8, bias=False).weight, nn.Linear(8, 4096, bias=False).weight))
    )
    stated("16,777,216", 4096**2)
    stated("0.39%", 65536 / 4096**2)
    stated("16", 8e9 * 2 / 1e9)
    stated("5.9", 6 * 7e10 * 1.4e12 / 1e23)
    assert 1.4e12 / 7e10 == 20


@holds("Operations", "Why can bandwidth limit generation?", "Prefill and decode?")
def check_two_and_six_operations_per_parameter_and_token():
    net = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(40)])
    N, D = sum(p.numel() for p in net.parameters()), 10
    with FlopCounterMode(display=False) as forward:
        net(torch.randn(D, 64))
    assert forward.get_total_flops() == 2 * N * D
    with FlopCounterMode(display=False) as both:
        net(torch.randn(D, 64)).sum().backward()
    assert 5.9 < both.get_total_flops() / (N * D) <= 6
    net.requires_grad_(False)
    with FlopCounterMode(display=False) as frozen:
        net(torch.randn(D, 64, requires_grad=True)).sum().backward()
    assert frozen.get_total_flops() == 4 * N * D
    for rows in (1, 7):  # one token; seven sequences or a prompt of seven
        with FlopCounterMode(display=False) as step:
            net(torch.randn(rows, 64))
        assert step.get_total_flops() / (N * torch.bfloat16.itemsize) == rows
    stated("153", 312e12 / 2039e9)
    # a mixture that sends its token to 4 of 40 experts
    with FlopCounterMode(display=False) as expert:
        x = torch.randn(1, 64)
        sum(net[i](x) for i in (3, 8, 21, 30))
    assert expert.get_total_flops() == 2 * N * 4 / 40


@holds("Input → output", "Same in train and eval?")
def check_a_small_language_model():
    table, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    for rate in (0.5, 0.0):
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=rate, batch_first=True)
        model = lambda ids: head(
            layer(table(ids), src_mask=nn.Transformer.generate_square_subsequent_mask(ids.shape[1]))
        )
        ids = torch.randint(0, 11, (3, 5))
        trained, layer = model(ids), layer.eval()
        assert trained.shape == (3, 5, 11) and torch.allclose(trained, model(ids), atol=1e-5) is (rate == 0)
    longer = torch.cat([ids, model(ids)[:, -1:].argmax(-1)], 1)
    assert longer.shape == (3, 6) and torch.allclose(model(longer)[:, :5], model(ids), atol=1e-5)


@holds("dtype of the weights", "LoRA", "full fine-tuning")
def check_what_is_trained_and_stored():
    assert torch.bfloat16.itemsize == 2 and torch.int8.itemsize == 1
    W = nn.Linear(64, 48, bias=False).requires_grad_(False)
    U, V = nn.Parameter(torch.zeros(48, 4)), nn.Parameter(torch.randn(4, 64))
    x, y = torch.randn(50, 64), torch.randn(50, 48)
    before, adapted = W.weight.clone(), lambda: nn.functional.mse_loss(W(x) + x @ (U @ V).T, y)
    start = adapted().item()
    assert descend(torch.optim.Adam([U, V], 0.05), adapted, 50) < 0.9 * start and torch.equal(W.weight, before)
    assert U.numel() + V.numel() == 4 * (48 + 64) < W.weight.numel() / 5
    W.requires_grad_(True)
    plain = lambda: nn.functional.mse_loss(W(x), y)
    descend(torch.optim.Adam(W.parameters(), 0.05), plain, 5)
    assert (W.weight != before).all()


@check
def check_a_cache_without_a_mask_takes_one_token_a_call():
    q, k, v = torch.randn(3, 1, 1, 4, 8)
    whole = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    last = [nn.functional.scaled_dot_product_attention(q[:, :, -n:], k, v) for n in (1, 2)]
    assert torch.allclose(last[0], whole[:, :, -1:], atol=1e-5)
    assert not torch.allclose(last[1], whole[:, :, -2:], atol=1e-4)


@holds("Memory, training")
def check_adam_needs_sixteen_bytes():
    layer, frozen = nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False).requires_grad_(False)
    optimizer = torch.optim.Adam([layer.weight, frozen.weight])
    frozen(layer(torch.randn(2, 100))).sum().backward()
    optimizer.step()
    moments = [t for t in optimizer.state[layer.weight].values() if t.numel() > 1]
    stated(
        "16", (layer.weight.nbytes + layer.weight.grad.nbytes + sum(t.nbytes for t in moments)) / layer.weight.numel()
    )
    assert frozen.weight.grad is None and not optimizer.state[frozen.weight]
    assert frozen.weight.nbytes / frozen.weight.numel() == 4


@check
def check_cache_overtakes_weights():
    crossing = 16e9 / cache_bytes(32, 1, 32, 1, 128, 2)
    assert 29_000 < crossing < 32_000


@pitfall("The weights fit, yet long prompts run out of memory")
def check_cache_of_long_prompts():
    """In 24 GB, 16 GB of weights leave no room for 32,768 tokens with 32 key heads; concatenation doubles a cache."""
    room = 24e9 - 16e9
    assert cache_bytes(32, 1, 32, 1024, 128, 2) < room < cache_bytes(32, 1, 32, 32_768, 128, 2)
    assert cache_bytes(32, 1, 8, 32_768, 128, 2) < room > cache_bytes(32, 1, 32, 32_768, 128, 0.5)
    # all logits of Llama 3's vocabulary
    assert torch.empty(32_768, 128_256, dtype=torch.bfloat16, device="meta").nbytes > room
    # logits of the last position only: the same row, a fraction of the memory
    head, states = nn.Linear(8, 50), torch.randn(1, 64, 8)
    assert torch.allclose(head(states[:, -1:]), head(states)[:, -1:], atol=1e-5)
    assert 64 * head(states[:, -1:]).nbytes == head(states).nbytes
    tracemalloc.start()
    cache, peaks = np.zeros((1, 8, 4096, 16), np.float32), []
    tracemalloc.reset_peak()
    np.concatenate([cache, cache[:, :, :1]], 2)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.reset_peak()
    cache[:, :, 4095:] = 1
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[0] > 1.9 * cache.nbytes and peaks[1] < 1.1 * cache.nbytes
    lengths = np.array([100, 900, 300, 8000])
    pages = np.ceil(lengths / 16).sum() * 16
    assert pages < lengths.sum() + 16 * len(lengths) < 0.4 * lengths.max() * len(lengths)


@pitfall("Greedy answers change from run to run")
def check_batch_composition_flips_a_near_tie():
    W, x = torch.randn(1000, 300), torch.randn(64, 1000)
    alone, together = (x[:1] @ W)[0], (x @ W)[0]
    i = (alone - together).abs().argmax()
    rival = (alone[i].double() + together[i].double()) / 2
    chosen = [torch.stack([rival, logits[i].double()]).argmax().item() for logits in (alone, together)]
    assert chosen[0] != chosen[1] and torch.allclose(alone, together, atol=1e-3)
    assert torch.equal(together, (x @ W)[0])  # same batch, same kernel: same bits


@pitfall("Fluent and wrong")
def check_probable_is_not_true():
    """In 70 of 100 texts a myth (1) follows the question; texts that show a source repeat it. Class 0 is the truth."""
    model = nn.Linear(3, 2)  # reads: no source, source says 0, source says 1
    inputs = torch.eye(3).repeat_interleave(100, 0)
    answers = torch.cat([torch.arange(100) < 70, torch.zeros(100), torch.ones(100)]).long()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    descend(optimizer, lambda: nn.functional.cross_entropy(model(inputs), answers), 200)
    said = model(torch.eye(3)).softmax(1)
    assert said[0].argmax() == 1 and abs(said[0, 1] - 0.7) < 0.05  # probable and wrong
    assert said[1].argmax() == 0 and said[1, 0] > 0.9  # with a true source
    assert said[2].argmax() == 1  # a false source misleads: check what is cited


@pitfall("The benchmark score does not show in use")
def check_seen_questions():
    random = np.random.default_rng(0)
    questions, answers = random.normal(size=(400, 8)), random.integers(0, 4, 400)
    nearest = lambda asked: answers[((asked[:, None] - questions) ** 2).sum(-1).argmin(1)]
    own, truth = random.normal(size=(400, 8)), random.integers(0, 4, 400)
    assert (nearest(questions) == answers).all() and (nearest(own) == truth).mean() < 0.35
    prompts = random.integers(0, 4, (200, 50))  # 200 prompts, all guessing
    scores = (prompts == answers[:50]).mean(1)
    assert scores.max() > 0.38 and (random.integers(0, 4, 400) == truth).mean() < 0.33
