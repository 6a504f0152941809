"""The published figures that ours are set beside, as data, each with its source.

Only figures that were read where they are said to come from are here; what is merely remembered is
left out, however often it is quoted. Every published figure is that of the best test epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

XSUB60, XVIEW60 = ("ntu60", "cross_subject"), ("ntu60", "cross_view")
XSUB120, XSET120 = ("ntu120", "cross_subject"), ("ntu120", "cross_setup")
PKU1, PKU2 = ("pku_part1", "cross_subject"), ("pku_part2", "cross_subject")
NTU = (XSUB60, XVIEW60, XSUB120, XSET120)
EVERY_STREAM = "joint+motion+bone"

HICO = "Dong et al., AAAI 2023 (arXiv:2212.02082)"
SECOND_HAND = "second-hand"


@dataclass(frozen=True)
class Figure:
    """One published accuracy.

    Attributes:
        mode: the evaluation, as `tools.reproduce.cells` names it.
        method: who reports it; "HiCo" is what this project reproduces.
        dataset: name of the data set that is scored.
        protocol: its split.
        stream: the stream, or the fused streams, of ours that it stands beside.
        top1: percent.
        source: where it was read.
        encoder: the sequence encoder, of HiCo's own figures.
        note: what to know when comparing.
    """

    mode: str
    method: str
    dataset: str
    protocol: str
    stream: str
    top1: float
    source: str
    encoder: str | None = None
    note: str = ""


def _row(
    mode: str,
    method: str,
    splits: tuple[tuple[str, str], ...],
    top1: tuple[float, ...],
    source: str,
    stream: str = "joint",
    encoder: str | None = None,
    note: str = "",
) -> Iterator[Figure]:
    for (dataset, protocol), figure in zip(splits, top1, strict=True):
        yield Figure(mode, method, dataset, protocol, stream, figure, source, encoder, note)


def _streams(
    method: str, split: tuple[str, str], top1: tuple[float, ...], source: str, note: str
) -> Iterator[Figure]:
    """Linear probes of joint, motion and bone, in this order, and their ensemble."""
    for stream, figure in zip(("joint", "motion", "bone"), top1[:3], strict=True):
        yield from _row("linear", method, (split,), (figure,), source, stream)
    yield from _row("ensemble", method, (split,), top1[3:], source, EVERY_STREAM, note=note)


_IMAGES = f"{SECOND_HAND}: tables in the READMEs of USDRL and FoundSkelModel"
_AIMCLR = "README of Levigty/AimCLR"
_FIXED_WEIGHTS = "weights: joint 0.6, motion 0.4, bone 0.6"

FIGURES: tuple[Figure, ...] = (
    *_row("linear", "HiCo", NTU, (80.6, 88.6, 72.5, 73.8), HICO, encoder="GRU"),
    *_row("linear", "HiCo", NTU, (81.4, 88.8, 73.7, 74.5), HICO, encoder="LSTM"),
    *_row("linear", "HiCo", NTU, (81.1, 88.6, 72.8, 74.1), HICO, encoder="Transformer"),
    *_row(
        *("linear", "HiCo", (PKU2,), (49.4,), f"{SECOND_HAND}: three tables that agree"),
        encoder="Transformer",
    ),
    *_row("linear", "CMD", NTU, (79.8, 86.9, 70.3, 71.5), _IMAGES),
    *_row("ensemble", "CMD", NTU, (84.1, 90.9, 74.7, 76.1), _IMAGES, EVERY_STREAM),
    *_streams("AimCLR", XSUB60, (74.34, 68.68, 71.87, 79.18), _AIMCLR, _FIXED_WEIGHTS),
    *_streams("AimCLR", XVIEW60, (79.68, 71.83, 77.02, 84.02), _AIMCLR, _FIXED_WEIGHTS),
    *_streams("AimCLR", PKU1, (83.43, 72.00, 82.03, 87.79), _AIMCLR, _FIXED_WEIGHTS),
    *_streams(
        *("HiCLR", XSUB60, (77.30, 70.29, 75.59, 80.94), "README of JHang2020/HiCLR"),
        "weights chosen on the test part",
    ),
    *_row(
        *("ensemble", "CrosSCLR", NTU, (77.8, 83.4, 67.9, 66.7)),
        *("README of LinguoLi/CrosSCLR", EVERY_STREAM),
        note="one model of three encoders",
    ),
    *_row(
        *("knn", "ISC", NTU, (62.5, 82.6, 50.6, 52.3)),
        f"{SECOND_HAND}: a table shown in its README",
    ),
    *_row(
        *("knn", "UmURL", NTU, (72.0, 88.9, 59.5, 62.2), "README of HuiGuanLab/UmURL"),
        note="one model reads joint, motion and bone",
    ),
    *_row("knn", "SCD-Net", (XSUB60,), (76.16,), "log in cong-wu/SCD-Net"),
    *_row("knn", "STARS", NTU, (79.9, 88.6, 67.6, 67.7), "README of TaatiTeam/STARS"),
    *_row("finetune", "MAMP", NTU, (93.0, 97.5, 89.8, 91.5), "README of maoyunyao/MAMP"),
    *_row("finetune", "STARS", NTU, (93.0, 97.5, 89.9, 91.4), "README of TaatiTeam/STARS"),
)
"""Semi-supervised learning and transfer have no figure here: none was found at its source."""
