"""The page in Chromium: each interaction, by pointer and keyboard, on any screen and on paper."""

import csv
import io
import re

import pytest

from tests.report.example import document
from tests.report.test_page import HOSTILE
from tools.report.page import render

SECTIONS = ("overview", "curves", "gallery", "views", "maps", "classes", "record")
PIXELS = "canvas => canvas.toDataURL()"
INK = """canvas => {
  const sheet = new OffscreenCanvas(canvas.width, canvas.height);
  const copy = sheet.getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((each, at) => at % 4 === 3 && each > 0).length;
}"""
COUNT_PAINTINGS = """() => {
  globalThis.paintings = 0;
  const { clearRect } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...place) {
    globalThis.paintings++;
    return clearRect.apply(this, place);
  };
}"""
POINT_AT_EACH = """([each, chosen]) => {
  const missed = [];
  for (const one of document.querySelectorAll(each)) {
    const { x, y, width, height } = one.getBoundingClientRect();
    for (const part of one.matches(".cell") ? [0.05, 0.95] : [0.5]) {
      const place = { clientX: x + part * width, clientY: y + part * height };
      one.ownerSVGElement.dispatchEvent(new PointerEvent("pointermove", place));
      const found = document.querySelector(chosen).getBoundingClientRect();
      const middle = [found.x + found.width / 2 - x, found.y + found.height / 2 - y];
      if (Math.hypot(middle[0] - width / 2, middle[1] - height / 2) > 3) missed.push(one.outerHTML);
    }
  }
  return missed;
}"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def page(watched, example):
    return watched(example, viewport={"width": 1280, "height": 900})


def at_moment(page, moment):
    page.locator("#frame").evaluate(
        "(slider, moment) => { slider.value = moment; slider.dispatchEvent(new Event('input')); }",
        moment,
    )


def until(page, holds):
    """Wait for what takes a few frames; the page's policy forbids Playwright's own way."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    pytest.fail("nothing changed")


def pause(page):
    """Stop all skeletons; the player is there where a skeleton is."""
    cards(page).first.scroll_into_view_if_needed()
    page.locator("#play").click()


def cards(page):
    return page.locator("#gallery .query")


def counted(page):
    return int(page.locator("#gallery-count").inner_text().split()[0])


def test_every_section_has_its_heading_and_something_to_see(page):
    for name in SECTIONS:
        assert page.locator(f"#{name} h2").inner_text()
        assert page.locator(f"#{name}").locator("svg, canvas, table").count()


def test_figures_of_both_runs_stand_beside_chance_random_and_published(page):
    heads = page.locator(".head")
    assert heads.count() == 2
    for text in ("chance", "12.5 %", "untrained encoder", "31.0 %", "81.1 % (HiCo-Transformer)"):
        assert text in heads.first.inner_text()
    rows = page.locator("#overview tbody tr")
    assert rows.count() == 4  # two evaluations of two runs
    assert "Dong et al." in rows.first.inner_text()


def test_skeletons_move_in_step_and_stop(page):
    pause(page)
    canvases = [cards(page).nth(at).locator("canvas").first for at in (0, 1)]
    at_moment(page, 100)
    first = [canvas.evaluate(PIXELS) for canvas in canvases]
    assert all(canvas.evaluate(INK) > 200 for canvas in canvases)
    at_moment(page, 700)
    later = [canvas.evaluate(PIXELS) for canvas in canvases]
    assert all(one != other for one, other in zip(first, later, strict=True))
    at_moment(page, 100)
    assert [canvas.evaluate(PIXELS) for canvas in canvases] == first  # one moment for all
    page.locator("#play").click()
    until(page, lambda: page.locator("#frame").input_value() != "100")


def test_who_wants_less_motion_gets_none_until_play(watched, example):
    page = watched(example, reduced_motion="reduce")
    cards(page).first.scroll_into_view_if_needed()
    assert "Play" in page.locator("#play").text_content()
    assert page.locator("#frame").input_value() == "0"


def test_all_skeletons_turn(page):
    pause(page)
    canvas = cards(page).first.locator("canvas").first
    before = canvas.evaluate(PIXELS)
    page.locator("#turn").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert canvas.evaluate(PIXELS) != before


def test_right_and_wrong_are_said_in_words_signs_and_shapes(page):
    neighbours = page.locator("#gallery .clip.wrong, #gallery .clip.right")
    assert neighbours.count() == 12 * 5
    for kind, sign, border in (("right", "✓ right", "solid"), ("wrong", "✕ wrong", "dashed")):
        one = page.locator(f"#gallery .clip.{kind}").first
        assert sign in one.inner_text()
        assert one.evaluate("each => getComputedStyle(each).borderTopStyle") == border
        assert sign in one.get_attribute("aria-label")


def test_the_gallery_is_filtered_by_verdict_class_and_name(page):
    gallery = page.locator("#gallery")
    total = counted(page)
    gallery.get_by_role("button", name="✓ Right", exact=True).click()
    right = counted(page)
    assert all("✓ right" in text for text in cards(page).locator("h3").all_inner_texts())
    gallery.get_by_role("button", name="✕ Wrong", exact=True).click()
    assert counted(page) == total - right
    gallery.get_by_role("button", name="All", exact=True).click()
    gallery.locator("select").select_option(label="drop")
    assert set(cards(page).locator("h3").all_inner_texts()) <= {"✓ right: drop", "✕ wrong: drop"}
    gallery.locator("select").select_option(label="all")
    name = cards(page).nth(3).locator(".note").inner_text().split(" ·")[0]
    page.locator("#search").fill(name.upper())
    assert 1 <= counted(page) < total
    assert name in page.locator("#gallery .query").all_inner_texts()[0]
    page.locator("#search").fill("no such clip")
    assert counted(page) == 0
    assert "No query fits" in gallery.inner_text()


def test_the_gallery_has_pages(page):
    first = cards(page).first.inner_text()
    page.get_by_role("button", name="Next →").click()
    assert "page 2 of 3" in page.locator("#gallery .pager").inner_text()
    assert cards(page).first.inner_text() != first
    page.get_by_role("button", name="← Previous").click()
    assert cards(page).first.inner_text() == first


def test_a_cell_of_the_matrix_leads_to_its_clips(page):
    matrix = page.locator("#classes .matrix")
    matrix.scroll_into_view_if_needed()
    matrix.locator("rect.cell[fill='var(--wrong)']").first.click()
    chip = page.locator("#gallery .pair")
    assert "drink water → eat meal" in chip.inner_text()
    assert "were taken for “eat meal”" in page.locator("#gallery").inner_text()
    assert all("drink water" in text for text in cards(page).locator("h3").all_inner_texts())
    chip.click()
    assert counted(page) == 30


def test_what_the_pointer_is_on_is_what_is_chosen(page):
    """Every point of the map, and every cell of the matrix at its corners."""
    for points, chosen in (
        ("#maps .maps figure:first-child .point", "#maps .maps figure:first-child .ring"),
        ("#classes .matrix .cell", "#classes .matrix .cursor"),
    ):
        assert page.evaluate(POINT_AT_EACH, [points, chosen]) == []


def test_the_matrix_is_read_and_followed_by_keys(page):
    matrix = page.locator("#classes .matrix")
    matrix.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#classes .said").inner_text()
    assert re.fullmatch(r"“drink water” taken for “eat meal”: \d+ of 30", said)
    page.keyboard.press("Enter")
    assert page.locator("#gallery .pair").count() == 1
    assert page.evaluate("document.activeElement.className") == "pair"


def test_worst_pairs_lead_to_their_clips_and_classes_have_intervals(page):
    page.locator("#classes").get_by_role("button", name="Show clips").first.click()
    assert page.locator("#gallery .pair").count() == 1
    row = page.get_by_role("region", name="Accuracy with 95 % Wilson intervals").locator("tbody tr")
    low, high = (float(row.first.locator("td").nth(at).inner_text()) for at in (3, 4))
    assert low < float(row.first.locator("td").nth(2).inner_text()) < high


def test_a_class_without_clips_has_no_accuracy_but_a_column(watched, tmp_path):
    made = document()
    test = made["runs"][0]["tests"][0]
    test["classes"].append([8, 0, 0, None, None, None])
    test["counts"].append([0, 8, 2])
    made["runs"][0]["classes"].append("never done")
    path = tmp_path / "more.html"
    path.write_text(render(made), encoding="utf-8")
    page = watched(path)
    accuracies = page.get_by_role("region", name="Accuracy with 95 % Wilson intervals")
    assert "never done" not in accuracies.inner_text()
    assert "never done" in page.locator("#classes .matrix").text_content()


def test_another_evaluation_changes_matrix_and_tables(page):
    before = page.locator("#classes tbody").first.inner_text()
    page.locator("#classes select").select_option(label="linear probe")
    assert page.locator("#classes tbody").first.inner_text() != before


def test_a_chart_is_read_by_pointer_and_keys_and_smoothed(page):
    chart = page.locator("#curves figure").first
    plot = chart.locator("svg")
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 120, "y": 60})
    said = chart.locator(".said").inner_text()
    assert re.match(r"epoch [\d.]+: run 0 [\d.e-]+ · run 1 [\d.e-]+", said)
    plot.focus()
    page.keyboard.press("Home")
    assert chart.locator(".said").inner_text().startswith("epoch 0:")
    assert "epoch 0:" in plot.get_attribute("aria-valuetext")
    noisy = page.locator("#curves figure", has_text="loss clip")
    before = noisy.locator(".line").last.get_attribute("d")
    page.locator("#smoothing").focus()
    page.keyboard.press("End")
    assert noisy.locator(".line").last.get_attribute("d") != before
    page.keyboard.press("Home")
    assert noisy.locator(".line.raw").count() == 0
    assert "queue full" in noisy.inner_text()


def test_scores_of_all_runs_stand_in_one_chart_beside_their_own_chance(watched, tmp_path):
    made = document(runs=2)
    for number, run in enumerate(made["runs"]):
        curve = {"group": "Pre-training", "name": "eval/knn1", "steady": True}
        curve |= {"x": [0, 60], "y": [30, 50], "beside": f"before training 3{number}.0"}
        run["curves"].append(curve)
    path = tmp_path / "watched.html"
    path.write_text(render(made), encoding="utf-8")
    chart = watched(path).locator("#curves figure", has_text="eval/knn1")
    assert chart.count() == 1
    beside = "eval/knn1 (run 0 before training 30.0; run 1 before training 31.0)"
    assert chart.locator("figcaption").inner_text() == beside
    assert chart.locator(".line").count() == 2


def test_views_mark_the_joints_they_touch(page):
    views = page.locator("#views .clip")
    assert views.count() == 6
    assert "corrupted" in views.nth(3).inner_text()
    pause(page)
    views.first.scroll_into_view_if_needed()
    plain, corrupted = (views.nth(at).locator("canvas").evaluate(PIXELS) for at in (0, 3))
    assert plain != corrupted  # the same clip, but for its rings


def test_pointing_at_the_map_plays_that_clip_in_both_maps(page):
    maps = page.locator("#maps .maps svg.plot")
    maps.first.scroll_into_view_if_needed()
    point = maps.first.locator(".point").nth(5)
    point.hover(force=True)
    name = document(runs=2)["clips"][180 + 5]["name"]
    assert name in page.locator("#chosen").inner_text()
    assert page.locator("#maps .preview canvas").evaluate(INK) > 200
    rings = maps.locator(".ring").all()
    assert len(rings) == 2
    places = document(runs=2)["runs"][0]["maps"]["levels"][0]
    assert rings[1].get_attribute("cx") == str(places["after"][5][0])


def test_the_map_changes_level_and_colours_and_lights_up_a_group(page):
    section = page.locator("#maps")
    for level in ("part", "temporal", "spatial", "instance"):
        before = section.locator(".point").first.get_attribute("transform")
        section.get_by_role("button", name=level, exact=True).click()
        assert section.locator(".point").first.get_attribute("transform") != before
        assert f"The {level} level" in section.inner_text()
    section.get_by_role("button", name="performer", exact=True).click()
    key = section.locator(".key button")
    assert key.first.inner_text() == "performer 1"
    key.first.click()
    assert key.first.get_attribute("aria-pressed") == "true"
    dim = section.locator(".point.dim").count()
    assert 0 < dim < section.locator(".point").count()
    key.first.click()
    assert section.locator(".point.dim").count() == 0


def test_the_map_is_walked_by_keys_and_heard(page):
    page.locator("#maps .maps svg.plot").last.focus()
    before = page.locator("#chosen").inner_text()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    after = page.locator("#chosen").inner_text()
    assert after != before
    assert page.locator("#live").inner_text().split(", ")[1] in after


def test_groups_of_a_map_differ_by_shape_too(page):
    signs = page.locator("#maps .key path")
    looks = signs.evaluate_all("all => all.map(x => [x.getAttribute('d'), x.getAttribute('fill')])")
    assert len({tuple(look) for look in looks}) == 8
    assert len({shape for shape, _ in looks}) == 6


def test_a_clip_opens_a_closer_look_with_the_player(page):
    cards(page).first.locator(".clip").nth(1).click()
    dialog = page.locator("#closer")
    assert dialog.evaluate("each => each.open")
    assert ".skeleton" in dialog.locator("h2").inner_text()
    assert dialog.locator("#play").is_visible()
    until(page, lambda: dialog.locator("canvas").evaluate(INK) > 200)
    page.keyboard.press("Escape")
    assert not dialog.evaluate("each => each.open")
    assert page.locator("body > #player").count() == 1


def test_another_run_is_chosen_for_gallery_maps_and_classes(page):
    before = page.locator("#gallery").inner_text()
    page.locator("#run").select_option(label="run 1")
    assert page.locator("#gallery").inner_text() != before
    assert page.locator("#record tr.differs").count() == 1  # the seed


@pytest.mark.parametrize(
    ("name", "rows"),
    [("figures", 4), ("gallery", 150), ("classes", 8), ("worst_pairs", 8), ("confusions", 16)]
    + [("mistakes", 35), ("maps", 300), ("views", 6), ("curves", 2 * 8 * 180), ("record", 3)],
)
def test_every_table_is_downloaded_as_csv(page, name, rows):
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    with page.expect_download() as download:
        page.locator(f"[data-csv={name}]").first.click()
    assert download.value.suggested_filename == f"{name}.csv"
    text = download.value.path().read_text(encoding="utf-8")
    found = list(csv.reader(io.StringIO(text)))
    assert len(found) == 1 + rows
    assert len({len(row) for row in found}) == 1


def test_what_is_drawn_is_there_as_a_table_too(page):
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for name in ("curves", "gallery", "views", "maps"):
        page.wait_for_selector(f"#{name} details table tbody tr")


def test_texts_of_files_are_shown_as_they_are(watched, tmp_path):
    made = document(queries=8, points=8)
    made["title"] = made["clips"][0]["name"] = made["runs"][0]["classes"][0] = HOSTILE
    path = tmp_path / "hostile.html"
    path.write_text(render(made), encoding="utf-8")
    page = watched(path)
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0
    made["runs"][0]["classes"][0] = "=1+1"
    path.write_text(render(made), encoding="utf-8")
    page = watched(path)
    with page.expect_download() as download:
        page.locator("[data-csv=classes]").click()
    assert "'=1+1" in download.value.path().read_text()  # no formula for a spreadsheet


def test_keys_alone_reach_every_control(page):
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    wanted = "a, button, select, input, summary, [tabindex='0']"
    hidden = page.evaluate(
        "wanted => [...document.querySelectorAll(wanted)].filter(each => each.checkVisibility() "
        "&& each.tabIndex < 0).map(each => each.outerHTML)",
        wanted,
    )
    assert hidden == []
    nameless = page.evaluate(
        "wanted => [...document.querySelectorAll(wanted)].filter(each => !(each.ariaLabel || "
        "each.textContent.trim() || each.labels?.[0]?.textContent.trim()))"
        ".map(each => each.outerHTML)",
        wanted,
    )
    assert nameless == []


def test_pictures_have_words_for_who_does_not_see(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('canvas, svg')].filter(each => !each.ariaLabel && "
        "!each.ariaHidden && !each.closest('[aria-hidden]')).length"
    )
    assert unnamed == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_signs_keep_their_contrast(watched, example, scheme):
    page = watched(example, color_scheme=scheme)
    assert page.locator("html").get_attribute("data-theme") == scheme
    for name, least in (
        *(("ink", 7), ("soft", 4.5), ("right", 4.5), ("wrong", 4.5), ("accent", 4.5)),
        *((f"c{number}", 3) for number in range(8)),
    ):
        assert contrast(page, f"--{name}", "--card") >= least, name
    assert contrast(page, "--wrong", "--wrong-soft") >= 4.5


def contrast(page, one, other):
    """Ratio of two custom colours. Source: WCAG 2.2, relative luminance."""
    text = "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(n))"
    lights = []
    for colour in page.evaluate(text, [one, other]):
        parts = [int(colour.strip()[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        weights = (0.2126, 0.7152, 0.0722)
        lights.append(sum(w * part for w, part in zip(weights, linear, strict=True)))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_the_colours_can_be_chosen(page):
    button = page.locator("#theme")
    seen = []
    for _ in range(3):
        button.click()
        seen.append(page.locator("html").get_attribute("data-theme"))
    assert seen == ["light", "dark", "light"]
    assert button.get_attribute("aria-label") == "Colours: as the system"


@pytest.mark.parametrize("width", [320, 390, 768, 1440, 3840])
def test_nothing_sticks_out_on_any_screen(watched, example, width):
    page = watched(example, viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(OVERFLOW) == 0
    size = page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
    assert 14 <= size <= 30
    assert size > 20 or width < 3840


def test_long_names_of_runs_fit_a_phone(watched, tmp_path):
    made = document(runs=2)
    for number, run in enumerate(made["runs"]):
        run["name"] = f"ntu60-cross_subject-Transformer-joint-strong-seed{number}"
        run["curves"][-1]["group"] = "probe, checkpoint_last_ntu60_cross_subject_joint_linear"
    path = tmp_path / "long.html"
    path.write_text(render(made), encoding="utf-8")
    page = watched(path, viewport={"width": 360, "height": 740})
    assert page.evaluate(OVERFLOW) == 0
    assert page.locator("#theme").evaluate("each => each.getBoundingClientRect().right") <= 360


def test_several_runs_stand_in_one_row(watched, tmp_path):
    path = tmp_path / "three.html"
    path.write_text(render(document(runs=3)), encoding="utf-8")
    page = watched(path, viewport={"width": 1280, "height": 900})
    tops = page.locator(".head").evaluate_all("all => all.map(x => x.getBoundingClientRect().top)")
    assert len(tops) == 3
    assert len(set(tops)) == 1


def test_paper_says_what_only_the_controls_say_on_a_screen(page):
    assert page.locator(".paper").count() == 4
    assert not any(each.is_visible() for each in page.locator(".paper").all())
    page.locator("#run").select_option(label="run 1")
    page.get_by_role("button", name="Next →").click()
    page.locator("#gallery .pager").get_by_role("button", name="Next →").click()
    page.emulate_media(media="print")
    for section in ("gallery", "views", "maps", "classes"):
        assert "Of the run run 1." in page.locator(f"#{section} .paper").inner_text()
    said = page.locator("#gallery .paper")
    shows = "the page on a screen shows all 30."
    assert f"Printed: queries 25 to 30 of 30; {shows}" in said.inner_text()
    assert "KNN-1:" in page.locator("#classes .paper").inner_text()
    assert page.locator("#maps .key").inner_text().startswith("drink water")  # the map's legend
    page.emulate_media(media="screen")
    page.get_by_role("button", name="✕ Wrong", exact=True).click()
    page.locator("#search").fill("no such clip")
    page.emulate_media(media="print")
    assert f"Printed: no query (wrong, search “no such clip”); {shows}" in said.inner_text()


def test_paper_gets_the_content_without_the_controls(watched, example):
    page = watched(example, color_scheme="dark", reduced_motion="reduce")
    page.evaluate(COUNT_PAINTINGS)
    page.emulate_media(media="print", color_scheme="dark")
    for control in (".bar", "#player", "#search", "#smoothing", "details", "td button"):
        assert not page.locator(control).first.is_visible()
    for content in ("h1", "#gallery .query", "#maps svg.plot", "#classes .matrix", "#record table"):
        assert page.locator(content).first.is_visible()
    for element, ink in (("h1", "rgb(28, 33, 38)"), ("#record td", "rgb(28, 33, 38)")):
        assert page.locator(element).first.evaluate("each => getComputedStyle(each).color") == ink
    dark = page.locator("#gallery canvas").first.evaluate("each => getComputedStyle(each).filter")
    assert dark.startswith("invert(1)")
    pdf = page.pdf(format="A4")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 40
    assert page.evaluate("paintings") == 0  # Chromium loses parts of a page that scripts paint then
