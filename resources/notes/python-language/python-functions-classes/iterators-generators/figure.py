import itertools
import warnings

from matplotlib.figure import Figure
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from figure_style import BLUE, ORANGE, figure, plt

SAMPLES = 12


class Plain(IterableDataset):
    def __iter__(self):
        return iter(range(SAMPLES))


class Divided(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        w, W = (0, 1) if info is None else (info.id, info.num_workers)
        return itertools.islice(range(SAMPLES), w, None, W)


def loader(dataset: IterableDataset, W: int) -> DataLoader:
    """A loader that fails, and does not hang, where a worker gets stuck."""
    options = {"timeout": 60, "multiprocessing_context": "fork"} if W else {}
    return DataLoader(dataset, batch_size=None, num_workers=W, **options)


@figure("figure-workers.svg")
def samples_by_number_of_workers() -> Figure:
    """Samples per epoch of an IterableDataset, plain and divided, for 0 to 4 workers of a real DataLoader."""
    workers = range(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, divided = ([len(list(loader(kind(), W))) for W in workers] for kind in (Plain, Divided))
    assert plain == [12, 12, 24, 36, 48] and divided == [12] * 5
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    axes.plot(workers, plain, color=ORANGE, marker="o", label="every worker reads all")
    axes.plot(workers, divided, color=BLUE, marker="s", label="islice(data, id, None, W)")
    axes.set_xticks(workers)
    axes.set_ylim(0, 52)
    axes.set_xlabel("worker processes W")
    axes.set_ylabel("samples per epoch")
    axes.legend(loc="upper left")
    return drawn
