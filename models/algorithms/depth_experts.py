"""DeNetDM's first stage: a product of a deep and a shallow expert, of which the shallow one is kept.

Sreelatha, Kappiyath, Chaudhuri, Dutta, "DeNetDM: Debiasing by Network Depth Modulation", NeurIPS 2024
(arXiv 2403.19863).
"""

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm


class DepthExperts(AbstractErm[AlgorithmSettings]):
    """ERM on p(y|x) = softmax(f(g_deep(x) + g_shallow(x))), with one linear head f for both encoders.

    The deep encoder turns to what biases the labels, the shallow one to what the bias leaves unexplained.
    Validation and predictions are those of f(g_shallow(x)), as in the authors' code; which networks are deep
    and shallow is told in `models.networks.backbones.deep_and_shallow`. A step costs the passes of both,
    which the budget in samples seen counts once.
    """

    assembly = "deep_and_shallow"
