"""Queries of the gallery and their nearest clips as one moving picture: an SVG, without a script.

All clips move in step, and a browser draws the frames between ours. Who asked for reduced motion
sees one frame. Lengths are those of the picture, a fifth of a dot for joints.

Axes: T frames, M bodies, V=25 joints, C=3 coordinates (metres).
"""

import base64
import html
import math
import textwrap
from collections.abc import Iterator

import numpy as np

from dataset.skeleton import JOINT_NAMES, PARENTS, SIDES
from options.terminal import printable
from tools.evaluation.results import Json

ROWS = 2
"""Queries in the picture."""
REPEAT = 'dur="2.6s" repeatCount="indefinite"'
TURN = math.radians(205)
"""How far bodies are turned about the vertical, as on the page."""
CELL, FIRST, GAP, HEIGHT, BODY = 116, 144, 10, 214, 140
"""Width of a clip, of a query, between them; height of a row, and of a body in it."""
FINE = 5
"""Steps of a joint to a dot."""
HEAD = JOINT_NAMES.index("head")
BONES = {
    side: [(inner, outer) for outer, inner in enumerate(PARENTS) if SIDES[outer] == side]
    for side in dict.fromkeys(SIDES)
} | {"head": [(HEAD, HEAD)]}
"""Inner and outer joint of each bone of a side; the head is a dot."""
STYLE = """
text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#1b2129}
text.bold{font-weight:700}
text.note{text-anchor:start;fill:#59636e}rect{fill:#fff;stroke:#00599a;stroke-width:2;rx:6}
rect.page{fill:#f7f8f4;stroke:none}rect.query{stroke:#1b2129;stroke-width:3}
rect.wrong{fill:#fbeadf;stroke:#b34700;stroke-dasharray:6 4}
text.right{fill:#00599a}text.wrong{fill:#b34700}path{fill:none;stroke-linecap:round;stroke-width:16}
path.left{stroke:#c2570c}path.right{stroke:#0069ad}path.middle,path.head{stroke:#39434d}
path.head{stroke-width:50}.still{display:none}
@media (prefers-reduced-motion:reduce){.moving{display:none}.still{display:inline}}
"""


def animation(document: Json) -> str:
    """Draw the first queries of the first run.

    Args:
        document: as `tools.report.collect.collect` makes it.

    Returns:
        The SVG text.
    """
    run, clips = document["runs"][0], document["clips"]
    queries = run["gallery"]["queries"][:ROWS]
    most = max(len(query["neighbours"]) for query in queries)
    width, height = FIRST + most * (CELL + GAP) + 3 * GAP, len(queries) * (HEIGHT + GAP) + 46
    said = f"{len(queries)} test clips and their {most} nearest training clips, moving in step"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{said}; right and wrong are marked</title><style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="note" x="{GAP}" y="24">{said}. Below: cosine similarity.</text>',
    ]
    for row, query in enumerate(queries):
        for column, cell in enumerate(_cells(query, clips, run["classes"])):
            x = GAP + (column > 0) * (FIRST - CELL) + column * (CELL + GAP)
            parts.append(f'<g transform="translate({x},{36 + row * (HEIGHT + GAP)})">{cell}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _cells(query: Json, clips: list[Json], classes: list[str]) -> Iterator[str]:
    """Yield a query and its nearest clips."""
    asked = clips[query["clip"]]
    yield _cell(asked, "query", "Query", classes[asked["label"]], "")
    for place, similarity in query["neighbours"]:
        clip = clips[place]
        kind, sign = ("right", "✓") if clip["label"] == asked["label"] else ("wrong", "✕")
        yield _cell(clip, kind, f"{sign} {kind}", classes[clip["label"]], f"{similarity:.3f}")


def _cell(clip: Json, kind: str, title: str, name: str, note: str) -> str:
    """Draw a clip in its frame, with what is said of it."""
    width = FIRST if kind == "query" else CELL
    lines = [*textwrap.wrap(name, width // 7, max_lines=2, placeholder="…"), note]
    y = BODY + 24
    texts = [f'<text class="bold {kind}" x="{width / 2}" y="{y}">{title}</text>'] + [
        f'<text x="{width / 2}" y="{y + 16 * (row + 1)}">{html.escape(printable(line))}</text>'
        for row, line in enumerate(lines)
    ]
    frame = f'<rect class="{kind}" width="{width}" height="{HEIGHT}"/>'
    return "".join([frame, *texts, *_paths(_flat(clip, width))])


def _flat(clip: Json, width: int) -> np.ndarray:
    """Turn a clip and fit it into its frame: (T, bodies, V, 2) whole numbers.

    A body that is absent from a frame is left out.
    """
    shape = clip["frames"], clip["bodies"], len(JOINT_NAMES), 3
    joints = np.frombuffer(base64.b64decode(clip["data"]), np.int8).reshape(shape).astype(float)
    joints = joints[:, joints.any(axis=(2, 3)).all(axis=0)]
    across = joints[..., 0] * math.cos(TURN) - joints[..., 1] * math.sin(TURN)
    points = np.stack([across, -joints[..., 2]], axis=-1)
    low, high = (points.min(axis=(0, 1, 2)), points.max(axis=(0, 1, 2)))
    scale = min((width - 24) / (high[0] - low[0] + 1), (BODY - 16) / (high[1] - low[1] + 1))
    middle = np.array([width / 2, BODY / 2 + 6])
    return np.rint(FINE * ((points - (low + high) / 2) * scale + middle)).astype(int)


def _paths(points: np.ndarray) -> Iterator[str]:
    """Yield the limbs of each side and the head, of all bodies: (T, bodies, V, 2)."""
    for side, bones in BONES.items():
        frames = [_path(bodies, bones) for bodies in points]
        moving = f'<animate attributeName="d" {REPEAT} values="{";".join(frames)}"/>'
        for kind, inside in (("moving", moving), ("still", "")):
            shape = f'path class="{side} {kind}" transform="scale({1 / FINE})"'
            yield f'<{shape} d="{frames[len(frames) // 2]}">{inside}</path>'


def _path(bodies: np.ndarray, bones: list[tuple[int, int]]) -> str:
    """Draw bones of (bodies, V, 2)."""
    return "".join(
        f"M{body[inner, 0]} {body[inner, 1]}L{body[outer, 0]} {body[outer, 1]}"
        for body in bodies
        for inner, outer in bones
    )
