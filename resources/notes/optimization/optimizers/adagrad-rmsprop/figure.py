import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt

STEPS = 3000


def step_sizes(kind) -> list[float]:
    """How far one weight moves at each step under a constant gradient, in units of lr."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, sizes = kind([w], lr=1.0), []
    for _ in range(STEPS):
        before = w.item()
        w.grad = torch.full((1,), 2.0, dtype=torch.float64)
        optimizer.step()
        sizes.append(before - w.item())
    return sizes


@figure("figure-steps.svg")
def step_sizes_under_a_constant_gradient() -> Figure:
    """AdaGrad fades, RMSProp settles at lr, AdaDelta starts tiny and grows."""
    ada, rms, delta = (step_sizes(kind) for kind in (torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adadelta))
    assert abs(ada[-1] * STEPS**0.5 - 1) < 1e-6 and abs(rms[0] - 10) < 1e-4 and abs(rms[-1] - 1) < 1e-4
    assert delta[0] < 0.004 and delta[-1] > 4 * delta[0]

    places = sorted({round(10 ** (k / 30)) for k in range(105)} & set(range(1, STEPS + 1)))
    drawn, panel = plt.subplots()
    for name, sizes, colour, dashes in (
        ("RMSProp", rms, BLUE, "-"),
        ("AdaGrad", ada, ORANGE, (0, (5, 2))),
        ("AdaDelta", delta, GREEN, "-."),
    ):
        panel.plot(places, [sizes[place - 1] for place in places], color=colour, linestyle=dashes, label=name)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("step")
    panel.set_ylabel("step size / lr")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn
