"""The page without a browser: one file, small, that no text can break and that asks no network."""

import base64
import hashlib
import html.parser
import json
import math
import re

import pytest

from tests.report.example import document
from tools.report.page import MOST_BYTES, as_data, render

HOSTILE = (
    '</script><script>alert("x")</script><!-- {{style}} &amp; \u2028 \'"`<img src=x onerror=y>'
)


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, and the text of the scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._script = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag == "script":
            self._script = []

    def handle_data(self, data):
        if self._script is not None:
            self._script.append(data)

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append("".join(self._script))
            self._script = None


@pytest.fixture(scope="module")
def page():
    return render(document())


def test_a_hundred_queries_of_two_bodies_at_24_frames_stay_within_five_megabytes():
    made = document(queries=100, points=400, bodies=2)
    assert all(clip["bodies"] == 2 for clip in made["clips"])
    assert len(render(made).encode()) < MOST_BYTES


def test_the_page_names_no_address_and_loads_nothing(page):
    rest = page.replace("http://www.w3.org/2000/svg", "")  # a name of elements, not an address
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", rest, re.I)
    assert "@import" not in page
    assert "url(" not in page
    for tag, attributes in Elements(page).found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "video", "audio")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")


def test_only_the_pages_own_script_may_run(page):
    policy = next(a["content"] for t, a in Elements(page).found if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    allowed = re.search(r"script-src '(sha256-[^']+)'", policy)[1]
    script = Elements(page).scripts[1]
    digest = hashlib.sha256(script.encode()).digest()
    assert allowed == "sha256-" + base64.b64encode(digest).decode()
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_the_document_comes_back_from_the_page_whole(page):
    assert json.loads(Elements(page).scripts[0]) == document()


def test_texts_of_files_cannot_become_markup():
    made = document(queries=8, points=8)
    made["title"] = made["runs"][0]["name"] = made["clips"][0]["name"] = HOSTILE
    made["runs"][0]["classes"][0] = HOSTILE
    made["runs"][0]["record"].append([HOSTILE, HOSTILE])
    text = render(made)
    elements = Elements(text)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert not any(tag == "img" for tag, _ in elements.found)
    assert json.loads(elements.scripts[0]) == made
    usual = [tag for tag, _ in Elements(render(document())).found]
    assert [tag for tag, _ in elements.found] == usual


def test_a_number_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        as_data({"top1": math.nan})


def test_the_same_document_makes_the_same_page(page):
    assert render(document()) == page
