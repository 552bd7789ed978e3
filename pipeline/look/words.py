"""The one glossary: what words on the pages mean, shown where one is hovered or focused, and listed.

Templates use them by name: `term("wga")` and `glossary()` of pipeline/look/templates/macros.html.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pipeline.files import NOT_ESTIMABLE


class Word(NamedTuple):
    """A word of the pages, and what it means there, in sentences."""

    title: str
    meaning: str


WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "patch": Word(
            "Patch",
            "A small square cut from a slide. The network sees one patch at a time and nothing else.",
        ),
        "label": Word(
            "Label",
            "Tumor or non-tumor, from the pathologist's outlines or, where there are none, from the slide's "
            "diagnosis.",
        ),
        "tissue": Word(
            "Tissue fraction",
            "The share of a patch that is covered by tissue, found without the network.",
        ),
        "tumor": Word(
            "Tumor fraction",
            "The share of a patch that lies inside the outlines of tumor, gaps without tissue included. "
            "Where labels are of whole slides it is 0 or 1.",
        ),
        "attribute": Word(
            "Attribute",
            "Little or much tissue: the tissue fraction up to or above the tissue threshold.",
        ),
        "group": Word("Group", "Label and attribute together; there are four."),
        "shortcut": Word(
            "Spurious correlation, shortcut",
            "Something that goes along with the label in the data without being its reason. Here: tumor "
            "patches and tissue area. A network that uses it fails on patches where the two do not go "
            "together.",
        ),
        "miss": Word("Miss", "A tumor patch that is called non-tumor (false negative)."),
        "false_alarm": Word("False alarm", "A non-tumor patch that is called tumor (false positive)."),
        "accuracy": Word("Accuracy", "The share of patches classified correctly."),
        "sensitivity": Word(
            "Sensitivity", "The share of tumor patches that are called tumor: 100 % minus the misses."
        ),
        "specificity": Word(
            "Specificity",
            "The share of non-tumor patches that are called non-tumor: 100 % minus the false alarms.",
        ),
        "ppv": Word(
            "PPV, positive predictive value",
            "Of the patches called tumor, the share that is. It depends on how common tumor is.",
        ),
        "npv": Word(
            "NPV, negative predictive value",
            "Of the patches called non-tumor, the share that is. It depends on how common tumor is.",
        ),
        "prevalence": Word("Prevalence", "The share of patches that are tumor."),
        "operating": Word("Decision threshold", "The probability above which a patch is called tumor."),
        "wga": Word(
            "WGA, worst-group accuracy",
            "The accuracy in the group where it is lowest. A high average can hide a group that is always "
            "wrong; the WGA cannot.",
        ),
        "gba": Word(
            "GBA, group-balanced accuracy",
            "The mean of the four groups' accuracies; every group counts the same.",
        ),
        "wga_cross_fitted": Word(
            "WGA, cross-fitted",
            "The worst group is found on one half of the patients and scored on the other. Unlike the lowest "
            "of four noisy figures, it is hardly biased.",
        ),
        "auroc": Word(
            "AUROC",
            "How well the probabilities rank tumor above non-tumor patches; 0.5 is chance, 1 is perfect. It "
            "is an average over all groups.",
        ),
        "auroc_within": Word(
            "AUROC within strata",
            "The AUROC among patches with little tissue, and among those with much; and the mean of both. A "
            "decision threshold for each attribute value changes nothing in it.",
        ),
        "auprc": Word(
            "AUPRC, average precision",
            "How pure the patches ranked first are, averaged over all cut-offs; chance is the prevalence, 1 "
            "is perfect.",
        ),
        "brier": Word(
            "Brier score",
            "The mean squared distance of the probability from what is there: 0 is perfect, 0.25 is that of "
            "always saying 50 %.",
        ),
        "ece": Word(
            "ECE, expected calibration error",
            "How far probabilities lie from the shares of tumor that they promise, on average.",
        ),
        "calibration": Word(
            "Calibration",
            "Whether of the patches told as 80 % tumor 80 in 100 are.",
        ),
        "erm": Word("ERM", "Ordinary training (empirical risk minimization): every patch counts the same."),
        "class_balanced": Word(
            "Class-balanced training", "Tumor and non-tumor patches are drawn equally often."
        ),
        "resampling": Word("Resampling", "All four groups are drawn equally often."),
        "gerne": Word(
            "GERNE",
            "Gradient extrapolation (Asaad, Shadaydeh, Denzler, ICCV 2025): the difference between the "
            "gradients of a biased and a less biased batch is extended beyond balance, away from the "
            "shortcut.",
        ),
        "decided": Word(
            "Decided by tissue",
            "A network's own output, decided by a decision threshold that depends on the patch's tissue "
            "fraction and was fitted on validation patients. No training, and no new representation: the "
            "control of every gain.",
        ),
        "interval": Word(
            "95 % interval",
            "Made so that in 95 % of such studies, on other patients of the same kind, it holds the true "
            "figure. Few patients make it wide.",
        ),
        "seed": Word(
            "Seed",
            "The random start of a training. Another seed gives another network from the same patches.",
        ),
        "study": Word(
            "Study, repeated cross-validation",
            "The patients are divided several times, so that each is tested once in every repeat, by a model "
            "that never saw the patient. Whom slides.csv fixes to training or validation is never tested.",
        ),
        "paired": Word(
            "Paired", "Both methods are judged on the same patients, so that only their difference remains."
        ),
        "primary": Word(
            "Primary, exploratory",
            "One comparison was fixed before the run, and is read by itself. Other differences of the worst "
            "group are read together (Holm), so that their number makes no chance finding. All other figures "
            "are exploratory: nothing is concluded from them.",
        ),
        "not_estimable": Word(
            NOT_ESTIMABLE.capitalize(),
            "A group with too few patches or patients for a figure worth printing. It is neither 0 nor "
            "100 %.",
        ),
    }
)
