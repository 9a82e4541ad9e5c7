import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torchvision import transforms
from torchvision.transforms import functional as F

from figure_style import BLUE, ORANGE, figure, plt


def accuracies() -> np.ndarray:
    """Test accuracy (as is, shifted by a pixel) of an SVM trained with no augmentation, shifts and flips."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:400], order[900:]
    shifts = [np.roll(X[train], *move) for move in ((1, 1), (-1, 1), (1, 2), (-1, 2))]
    scores = []
    for copies in ([], shifts, [X[train][:, :, ::-1]]):
        images = np.concatenate([X[train], *copies]).reshape(-1, 64)
        model = SVC(C=10, gamma=0.05).fit(images, np.tile(y[train], len(copies) + 1))
        scores.append([model.score(data.reshape(-1, 64), y[test]) for data in (X[test], np.roll(X[test], 1, 1))])
    return np.array(scores)


@figure("figure-digits.svg")
def digits() -> Figure:
    """Four versions of one digit, and what augmentation does to the accuracy on two test sets."""
    scores = accuracies()
    assert scores[0, 0] > 0.97 and scores[0, 1] < 0.6 and scores[1].min() > 0.94 and scores[2, 0] < scores[0, 0]
    drawn = plt.figure(figsize=(5.6, 2.8))
    left, right = drawn.subfigures(1, 2, width_ratios=[0.75, 1])
    image = torch.tensor(load_digits().images[2] / 16, dtype=torch.float32)[None]
    torch.manual_seed(0)
    erased = transforms.RandomErasing(1.0, scale=(0.1, 0.15))(image)
    versions = {"original": image, "shifted": image.roll(1, 2), "rotated": F.rotate(image, 20), "erased": erased}
    for panel, (name, version) in zip(left.subplots(2, 2).flat, versions.items()):
        panel.imshow(version[0], cmap="Blues", vmin=0, vmax=1.3)
        panel.set_title(name, fontsize=9)
        panel.axis("off")
    panel = right.subplots()
    at = np.arange(3)
    panel.bar(at - 0.2, scores[:, 0], 0.38, color=BLUE)
    panel.bar(at + 0.2, scores[:, 1], 0.38, color=ORANGE)
    panel.set_xticks(at, ["none", "shifts", "flips"])
    panel.text(-0.4, 1.12, "test as is", color=BLUE)
    panel.text(1.0, 1.12, "test shifted", color=ORANGE)
    panel.set_ylim(0, 1.25)
    panel.set_yticks([0, 0.5, 1])
    panel.set_ylabel("accuracy")
    return drawn
