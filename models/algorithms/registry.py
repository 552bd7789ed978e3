"""The table of algorithms, and nothing else: trainings do not depend on it (dvc.yaml says why)."""

from typing import Any

from models.algorithms.balanced_softmax import BalancedSoftmax
from models.algorithms.base import AbstractAlgorithm
from models.algorithms.cb_loss import CbLoss
from models.algorithms.class_balanced import ClassBalanced
from models.algorithms.cnc import Cnc
from models.algorithms.crt import Crt
from models.algorithms.denetdm import Denetdm
from models.algorithms.depth_experts import DepthExperts
from models.algorithms.dfa import Dfa
from models.algorithms.dfr import Dfr
from models.algorithms.erm import Erm
from models.algorithms.gerne import Gerne
from models.algorithms.gerne_unknown import GerneUnknown
from models.algorithms.group_dro import GroupDro
from models.algorithms.group_resampling import GroupResampling
from models.algorithms.irm import Irm
from models.algorithms.jtt import Jtt
from models.algorithms.lc import Lc
from models.algorithms.lff import Lff
from models.algorithms.lisa import Lisa
from models.algorithms.mat import Mat
from models.algorithms.mixup import Mixup
from models.algorithms.pde import Pde
from models.algorithms.reweight import ReWeight
from models.algorithms.reweight_crt import ReWeightCrt
from models.algorithms.sam import Sam
from models.algorithms.spectral_decoupling import SpectralDecoupling
from models.algorithms.sqrt_reweight import SqrtReWeight
from models.algorithms.subg import Subg

ALGORITHMS: dict[str, type[AbstractAlgorithm[Any, Any]]] = {
    "erm": Erm,
    "class_balanced": ClassBalanced,
    "group_resampling": GroupResampling,
    "reweight": ReWeight,
    "sqrt_reweight": SqrtReWeight,
    "subg": Subg,
    "cb_loss": CbLoss,
    "balanced_softmax": BalancedSoftmax,
    "group_dro": GroupDro,
    "irm": Irm,
    "spectral_decoupling": SpectralDecoupling,
    "lff": Lff,
    "lc": Lc,
    "mat": Mat,
    "pde": Pde,
    "jtt": Jtt,
    "crt": Crt,
    "reweight_crt": ReWeightCrt,
    "dfr": Dfr,
    "cnc": Cnc,
    "mixup": Mixup,
    "lisa": Lisa,
    "sam": Sam,
    "dfa": Dfa,
    "depth_experts": DepthExperts,
    "denetdm": Denetdm,
    "gerne": Gerne,
    "gerne_unknown": GerneUnknown,
}
