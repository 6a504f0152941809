"""The moving picture: what it says, and where its joints are, against a plain recomputation."""

import base64
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dataset.skeleton import JOINT_NAMES, PARENTS
from tests.report.example import document
from tests.report.test_page import HOSTILE
from tools.report.animation import animation

SVG = "{http://www.w3.org/2000/svg}"


def cells(made):
    """The cells of the picture of a document, in the order of the gallery."""
    return ElementTree.fromstring(animation(made)).findall(f"{SVG}g")


def words(cell):
    return [text.text for text in cell.iter(f"{SVG}text")]


def lines(path):
    """The ends of each line of a path: (lines, 2, 2)."""
    numbers = re.findall(r"M(-?\d+) (-?\d+)L(-?\d+) (-?\d+)", path)
    return np.array(numbers, float).reshape(-1, 2, 2)


def test_every_query_stands_with_its_neighbours_marked_by_word_and_frame():
    made = document()
    found, clips, names = cells(made), made["clips"], made["runs"][0]["classes"]
    shown = []
    for query in made["runs"][0]["gallery"]["queries"][:2]:
        asked = clips[query["clip"]]
        shown.append(("query", ["Query", names[asked["label"]], None]))
        for place, similarity in query["neighbours"]:
            same = clips[place]["label"] == asked["label"]
            said = [f"{'✓ right' if same else '✕ wrong'}", names[clips[place]["label"]]]
            shown.append(("right" if same else "wrong", [*said, f"{similarity:.3f}"]))
    assert [(cell.find(f"{SVG}rect").get("class"), words(cell)) for cell in found] == shown
    assert {kind for kind, _ in shown} == {"query", "right", "wrong"}


def plain(clip, width):
    """Bones (T, bodies, V, 2 ends, 2) in the picture, a joint at a time."""
    values = np.frombuffer(base64.b64decode(clip["data"]), np.int8).astype(float)
    values = values.reshape(clip["frames"], clip["bodies"], 25, 3)
    turn = math.radians(205)
    placed = np.zeros((*values.shape[:3], 2))
    for index in np.ndindex(values.shape[:3]):
        x, y, z = values[index]
        placed[index] = x * math.cos(turn) - y * math.sin(turn), -z
    reach = [np.ptp(placed[..., axis]) + 1 for axis in (0, 1)]
    scale = min((width - 24) / reach[0], 124 / reach[1])
    for axis, middle in ((0, width / 2), (1, 76)):
        centre = (placed[..., axis].max() + placed[..., axis].min()) / 2
        placed[..., axis] = middle + scale * (placed[..., axis] - centre)
    return np.stack([placed[:, :, list(PARENTS)], placed], axis=3)


@pytest.mark.parametrize("bodies", [1, 2])
def test_bones_move_from_frame_to_frame_as_the_clip_does(bodies):
    made = document(bodies=bodies)
    query = made["runs"][0]["gallery"]["queries"][0]
    places = [query["clip"], query["neighbours"][0][0]]
    for cell, place, width in zip(cells(made), places, (144, 116), strict=False):
        bones = plain(made["clips"][place], width)
        for side in ("left", "right"):
            joints = [joint for joint, name in enumerate(JOINT_NAMES) if side in name]
            moving = cell.find(f"{SVG}path[@class='{side} moving']")
            assert moving.get("transform") == "scale(0.2)"
            frames = moving.find(f"{SVG}animate").get("values").split(";")
            assert len(frames) == 24
            for frame, path in enumerate(frames):
                expected = bones[frame][:, joints].reshape(-1, 2, 2)
                assert np.abs(lines(path) / 5 - expected).max() <= 0.1 + 1e-9
            still = cell.find(f"{SVG}path[@class='{side} still']")
            assert still.get("d") == moving.get("d") == frames[12]
            assert len(still) == 0


def test_a_body_that_comes_and_goes_is_left_out():
    made = document(bodies=2)
    query = made["runs"][0]["gallery"]["queries"][0]
    clip = made["clips"][query["clip"]]
    values = np.frombuffer(base64.b64decode(clip["data"]), np.int8).reshape(24, 2, 25, 3).copy()
    values[5:7, 1] = 0
    clip["data"] = base64.b64encode(values.tobytes()).decode()
    head = cells(made)[0].find(f"{SVG}path[@class='head still']")
    assert len(lines(head.get("d"))) == 1


def test_names_of_files_are_text_and_nothing_else():
    made = document()
    made["runs"][0]["classes"] = [HOSTILE, "\x00\x1b[2J"] * 4
    tags = [element.tag for element in ElementTree.fromstring(animation(made)).iter()]
    usual = [element.tag for element in ElementTree.fromstring(animation(document())).iter()]
    assert set(tags) == set(usual)


def test_it_moves_in_a_browser_and_stands_still_where_asked(browser, tmp_path):
    (tmp_path / "picture.svg").write_text(animation(document()), encoding="utf-8")
    for wanted, moves in (("no-preference", True), ("reduce", False)):
        context = browser.new_context(reduced_motion=wanted)
        page = context.new_page()
        page.goto((tmp_path / "picture.svg").as_uri())
        shots = []
        for moment in (0.1, 0.9):
            page.evaluate(
                "at => { const svg = document.documentElement;"
                "svg.pauseAnimations(); svg.setCurrentTime(at) }",
                moment,
            )
            shots.append(page.screenshot())
        assert (shots[0] != shots[1]) == moves
        context.close()
