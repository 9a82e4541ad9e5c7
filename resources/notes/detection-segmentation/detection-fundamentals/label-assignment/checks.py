import math

import numpy as np
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn, ssd300_vgg16
from torchvision.models.detection._utils import Matcher

from note_checks import check, formula, stated

MATCH = r"""
m(a) = \begin{cases}
\arg\max_g q_{ga} & \text{if } \max_g q_{ga} \ge t_1 \text{ or } q_{ga} = \max_{a'} q_{ga'} \text{ for some } g \\
-2 \text{ (ignored)} & \text{else if } \max_g q_{ga} \ge t_0 \\
-1 \text{ (background)} & \text{otherwise}
\end{cases}
"""
ATSS = r"t_g = \operatorname{mean}_{a \in C_g} q_{ga} + \operatorname{std}_{a \in C_g} q_{ga}"
SIMOTA = r"k_g = \max\left(1, \left\lfloor \sum_{a \in \text{top } 10} q_{ga} \right\rfloor \right)"
Q = np.array([[0.75, 0.5, 0.2, 0.1, 0.0], [0.1, 0.35, 0.45, 0.2, 0.05]])


def matched(q, t1, t0, forced):
    result = []
    for a in range(q.shape[1]):
        best = q[:, a].max()
        own = forced and any(q[g, a] == q[g].max() for g in range(q.shape[0]))
        result.append(int(q[:, a].argmax()) if best >= t1 or own else -2 if best >= t0 else -1)
    return result


@formula(MATCH)
def check_matcher():
    for objects, anchors in ((1, 1), (3, 12), (8, 200)):
        for t1, t0 in ((0.7, 0.3), (0.5, 0.5), (0.5, 0.4)):
            q = torch.rand(objects, anchors, dtype=torch.float64) ** 3
            q[:, -1] = q[:, 0]                                       # ties for the best anchor
            for forced in (True, False):
                assert Matcher(t1, t0, forced)(q).tolist() == matched(q.numpy(), t1, t0, forced)
    q = torch.tensor(Q)
    assert matched(Q, 0.7, 0.3, True) == Matcher(0.7, 0.3, True)(q).tolist() == [0, -2, 1, -1, -1]


# verified: formula-only (neither rule is in torchvision)
@formula(ATSS, SIMOTA)
def check_adaptive_rules():
    q = Q[1]
    mean, std = q.sum() / 5, math.sqrt(((q - q.sum() / 5) ** 2).sum() / 4)
    stated("0.23", mean)
    stated("0.1681", std)
    stated("0.3981", mean + std)
    assert abs(mean + std - float(torch.tensor(q).mean() + torch.tensor(q).std())) < 1e-12
    assert [i for i, v in enumerate(q) if v >= mean + std] == [2]
    stated("1.15", np.sort(q)[-10:].sum())
    assert max(1, math.floor(q.sum())) == 1 == max(1, math.floor(0.3)) and max(1, math.floor(3.7)) == 3
    nothing = torch.tensor([0.1, 0.5, 0.5, 0.5])
    threshold = nothing.mean() + nothing.std()
    stated("0.6", threshold)
    assert not (nothing >= threshold).any() and nothing.mean() + nothing.std(unbiased=False) > 0.5


@check
def check_shared_anchor():
    shared = torch.tensor([[0.1, 0.9], [0.05, 0.4]])
    result = Matcher(0.7, 0.3, True)(shared).tolist()
    assert result == [-1, 0] and 1 not in result


@check
def check_thresholds():
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    rpn, head = model.rpn.proposal_matcher, model.roi_heads.proposal_matcher
    assert (rpn.high_threshold, rpn.low_threshold, rpn.allow_low_quality_matches) == (0.7, 0.3, True)
    assert (head.high_threshold, head.low_threshold, head.allow_low_quality_matches) == (0.5, 0.5, False)
    retina = retinanet_resnet50_fpn(weights=None, weights_backbone=None).proposal_matcher
    assert (retina.high_threshold, retina.low_threshold, retina.allow_low_quality_matches) == (0.5, 0.4, True)
    ssd = ssd300_vgg16(weights=None, weights_backbone=None)
    assert ssd.proposal_matcher.high_threshold == 0.5 and ssd.neg_to_pos_ratio == 3
    assert Matcher.BELOW_LOW_THRESHOLD == -1 and Matcher.BETWEEN_THRESHOLDS == -2
    assert Matcher(0.5, 0.5)(torch.rand(2, 7)).dtype == torch.int64
