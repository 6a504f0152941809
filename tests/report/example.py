"""A document as the page reads it, made without any run: moving stick figures and drawn numbers."""

import base64
from typing import Any

import numpy as np

from dataset.skeleton import JOINT_NAMES, PARENTS

NAMES = (
    "drink water",
    "eat meal",
    "brush teeth",
    "drop",
    "pick up",
    "throw",
    "sit down",
    "stand up",
)
LEVELS = ("clip", "part", "temporal", "spatial", "instance")
REST = (
    ((0, 0, -0.2), (0, 0, 0), (0, 0, 0.35), (0, 0, 0.5))
    + ((-0.18, 0, 0.25), (-0.25, 0, 0.0), (-0.27, 0.05, -0.22), (-0.28, 0.06, -0.28))
    + ((0.18, 0, 0.25), (0.25, 0, 0.0), (0.27, 0.05, -0.22), (0.28, 0.06, -0.28))
    + ((-0.1, 0, -0.22), (-0.12, 0, -0.6), (-0.12, 0, -0.98), (-0.12, 0.12, -1.02))
    + ((0.1, 0, -0.22), (0.12, 0, -0.6), (0.12, 0, -0.98), (0.12, 0.12, -1.02))
    + ((0, 0, 0.28), (-0.28, 0.07, -0.34), (-0.24, 0.1, -0.28), (0.28, 0.07, -0.34))
    + ((0.24, 0.1, -0.28),)
)
"""A body that stands, metres."""


def clip(label: int, index: int, frames: int = 24, bodies: int = 1) -> dict[str, Any]:
    """One clip whose class is which limb moves and how often."""
    time = np.linspace(0, 1, frames)
    moved = np.tile(np.array(REST), (frames, bodies, 1, 1))  # (T, M, V, C)
    limb = [(8, 9, 10, 11, 23, 24), (4, 5, 6, 7, 21, 22), (13, 14, 15), (17, 18, 19)][label % 4]
    swing = np.sin(2 * np.pi * (1 + label // 4) * time + index)[:, None]
    for place, joint in enumerate(limb):
        moved[:, 0, joint, 2] += 0.12 * (place + 1) * (1 + swing[:, 0]) * (label % 4 < 2)
        moved[:, 0, joint, 1] += 0.09 * (place + 1) * swing[:, 0]
    if bodies == 2:
        moved[:, 1] += (0.8, 0.3, 0)
    scale = float(np.abs(moved).max()) / 127
    values = np.round(moved / scale).astype(np.int8)
    return {
        "name": f"S001C001P{index % 9 + 1:03}R{index // 9 + 1:03}A{label + 1:03}.skeleton",
        "label": label,
        "who": str(index % 9 + 1),
        "recorded": 60 + index % 40,
        "frames": frames,
        "bodies": bodies,
        "scale": scale,
        "data": base64.b64encode(values.tobytes()).decode(),
    }


def document(
    queries: int = 30, points: int = 60, runs: int = 1, classes: tuple[str, ...] = NAMES, bodies=1
) -> dict[str, Any]:
    """A whole document; all is drawn from one seed."""
    generator = np.random.default_rng(0)
    clips = [clip(i % len(classes), i, bodies=bodies) for i in range(6 * queries)]
    clips += [clip(i % len(classes), i, frames=12, bodies=bodies) for i in range(points)]
    made = [_run(f"run {number}", generator, queries, points, classes) for number in range(runs)]
    return {
        "title": "HiCo on a small example",
        "made": "python -m tools.report example; seed 0",
        "notes": ["Everything here is drawn; nothing was measured."],
        "training": "Pre-training",
        "bones": list(PARENTS),
        "joints": list(JOINT_NAMES),
        "sides": [next((s for s in ("left", "right") if s in n), "middle") for n in JOINT_NAMES],
        "clips": clips,
        "runs": made,
    }


def _run(
    name: str,
    generator: np.random.Generator,
    queries: int,
    points: int,
    classes: tuple[str, ...],
) -> dict[str, Any]:
    shift = float(generator.uniform(0, 6))
    return {
        "name": name,
        "tags": ["Transformer", "ntu60 cross_view", "joint", "451 epochs"],
        "classes": list(classes),
        "record": [
            ["encoder", "Transformer"],
            ["seed", str(round(shift * 100))],
            ["epochs", "451"],
        ],
        "figures": _figures(70 + shift),
        "marks": [[12, "queue full"]],
        "curves": _curves(generator),
        "gallery": _gallery(generator, queries, len(classes)),
        "views": _views(),
        "maps": _maps(generator, queries, points, len(classes)),
        "tests": [_test("KNN-1", len(classes), 7), _test("linear probe", len(classes), 5)],
    }


def _figures(top1: float) -> list[dict[str, Any]]:
    published = {"top1": 81.1, "who": "HiCo-Transformer", "source": "Dong et al., AAAI 2023"}
    beside = {"of": "400 test clips", "chance": 12.5, "random": 31.0}
    probe = {"name": "linear probe", "top1": top1, "low": top1 - 4, "high": top1 + 3.5}
    knn = {"name": "KNN-1", "top1": top1 - 9, "low": top1 - 13, "high": top1 - 5}
    return [
        probe | beside | {"published": published, "more": [["top-5", "93.1 %"]]},
        knn | beside | {"published": None, "more": []},
    ]


def _curves(generator: np.random.Generator) -> list[dict[str, Any]]:
    x = np.linspace(0, 60, 180)
    falling = 3 + 2 * np.exp(-x / 25)
    found = [("Pre-training", "learning rate", np.where(x < 45, 0.01, 0.001), True)]
    for level in ("total", *LEVELS):
        noisy = falling * (5 if level == "total" else 1) + generator.normal(0, 0.1, len(x))
        found.append(("Pre-training", f"loss {level}", noisy, False))
    found.append(("Linear probe", "test top-1 %", 60 + 20 * (1 - np.exp(-x / 9)), True))
    return [
        {"group": group, "name": name, "steady": steady, "x": _plain(x), "y": _plain(y)}
        for group, name, y, steady in found
    ]


def _plain(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _gallery(generator: np.random.Generator, queries: int, classes: int) -> dict[str, Any]:
    found = []
    for query in range(queries):
        own = [i for i in range(queries, 6 * queries) if i % classes == query % classes]
        near = list(generator.choice(own, 5, replace=False))
        for place in range(5):
            if generator.uniform() < 0.25 + 0.1 * place:
                near[place] = generator.integers(queries, 6 * queries)
        found.append(
            {"clip": query, "neighbours": [[int(c), 0.98 - 0.02 * i] for i, c in enumerate(near)]}
        )
    return {"note": "Queries drawn by seed 0.", "queries": found}


def _views() -> dict[str, Any]:
    original = clip(0, 3)
    titles = ("recorded", "cropped", "sheared", "corrupted", "one view", "another view")
    views = [
        {"title": title, "said": "", "touched": [1, 5, 9] if title == "corrupted" else []}
        | {"clip": {name: original[name] for name in ("frames", "bodies", "scale", "data")}}
        for title in titles
    ]
    return {"note": "", "clips": [{"name": original["name"], "label": 0, "views": views}]}


def _maps(
    generator: np.random.Generator, queries: int, points: int, classes: int
) -> dict[str, Any]:
    chosen = list(range(6 * queries, 6 * queries + points))
    groups = np.arange(points) % classes
    angle = 2 * np.pi * groups / classes
    levels = []
    for level in LEVELS:
        before = generator.uniform(0, 1000, (points, 2))
        after = 500 + 380 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        after = (after + generator.normal(0, 45, (points, 2))).clip(0, 1000)
        levels.append(
            {"name": level, "about": f"The {level} level.", "share_before": 24.0}
            | {"share_after": 71.0, "before": before.astype(int).tolist()}
            | {"after": after.astype(int).tolist()}
        )
    return {"note": "", "chance": 12.5, "points": chosen, "levels": levels}


def _test(name: str, classes: int, every: int) -> dict[str, Any]:
    """Answers for 30 clips a class, of which every so many is taken for the next class."""
    wrong = [len(range(label % every, 30, every)) for label in range(classes)]
    counts = [[label, label, 30 - wrong[label]] for label in range(classes)]
    counts += [[label, (label + 1) % classes, wrong[label]] for label in range(classes)]
    mistakes = [
        [clip(label, index, frames=2)["name"], label, (label + 1) % classes]
        for label in range(classes)
        for index in range(label, label + wrong[label])
    ]
    rows = [
        [label, 30, 30 - wrong[label], 100 - wrong[label] / 0.3]
        + [90 - wrong[label] / 0.3, min(100, 106 - wrong[label] / 0.3)]
        for label in range(classes)
    ]
    return {"name": name, "note": "All test clips.", "counts": counts} | {
        "mistakes": mistakes,
        "classes": rows,
    }
