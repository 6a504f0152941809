"""From a data set to a page: pre-training, evaluations and the report, by their command lines."""

import json
import re

import pytest

import action_classification
import action_retrieval
import pretraining
from tests.support.tiny import write_checkpoint, write_dataset
from tools.evaluation.results import load_scores
from tools.report import __main__ as report
from tools.report.animation import animation

SMALL = ("--encoder", "GRU", "--hidden-size", "8", "--granularity", "2")
FAST = ("--knn-clips", "20", "12", "--queries", "6", "--map-clips", "10", "--frames", "8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Data, and two runs with a linear probe, retrieval, and a random encoder beside them."""
    place = tmp_path_factory.mktemp("runs")
    write_dataset(place / "data", train=24, val=12)
    common = ["--data-path", str(place / "data"), "--device", "cpu", "--seed", "1"]
    for name in ("one", "two"):
        contrast = ["--hico-k", "16", "--hico-dim", "4", "--batch-size", "8", "--epochs", "2"]
        folder = ["--checkpoint-path", str(place / name), "--print-freq", "1", "--schedule", "1"]
        pretraining.main([*common, *SMALL, *contrast, *folder])
    source = ["--pretrained", str(place / "one" / "checkpoint_last.pth.tar")]
    random = ["--pretrained", "random", *SMALL]
    short = ["--epochs", "3", "--schedule", "2"]
    for name, encoder in (("trained", source), ("random", random)):
        probe = ["--output-path", str(place / name / "probe"), *short]
        action_classification.main([*common, *encoder, *probe])
    knn = ["--output-path", str(place / "one" / "knn"), "--knn-neighbours", "1", "5"]
    action_retrieval.main([*common, *source, *knn])
    return place


def made(runs, capsys, *arguments):
    """The document inside the page that the command makes."""
    capsys.readouterr()
    output = runs / "page.html"
    data = ("--data-path", str(runs / "data"), "--device", "cpu")
    report.main([*map(str, arguments), *data, *FAST, "--output", str(output)])
    assert str(output) in capsys.readouterr().out
    text = output.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="report">(.*?)</script>', text, re.S)[1])


def test_a_run_becomes_a_page_with_all_its_parts(runs, capsys):
    found = made(runs, capsys, runs / "one")
    (run,) = found["runs"]
    assert run["tags"] == ["GRU", "NTU RGB+D 60 cross_view", "joint", "2 epochs"]
    names = {figure["name"]: figure for figure in run["figures"]}
    assert set(names) == {"linear probe", "KNN-1", "KNN-1 (this report's sample)", "KNN-5"}
    assert names["linear probe"]["random"] is not None
    assert names["KNN-1 (this report's sample)"]["random"] is not None
    assert names["linear probe"]["published"] is None  # not the published clips
    assert run["marks"] == [[16 / (3 * 8), "queue full"]]
    assert {curve["group"] for curve in run["curves"]} >= {"Pre-training"}
    assert [level["name"] for level in run["maps"]["levels"]] == [
        *("clip", "part", "temporal", "spatial", "instance"),
    ]
    for level in run["maps"]["levels"]:
        assert len(level["before"]) == len(level["after"]) == len(run["maps"]["points"]) == 10
        assert level["before"] != level["after"]
    assert len(run["gallery"]["queries"]) == 6
    assert all(len(query["neighbours"]) == 5 for query in run["gallery"]["queries"])
    assert len(run["views"]["clips"]) == 3
    said = [fact for name, fact in run["record"] if name == "contrast: queue_size"]
    assert said == ["16"]


def test_a_samples_size_and_seed_are_said(runs, capsys):
    run = made(runs, capsys, runs / "one")["runs"][0]
    assert (
        "12 of 12 test clips, drawn by seed 0, among 20 of 24 training clips"
        in (run["gallery"]["note"])
    )
    assert "10 of 12 test clips (seed 0)" in run["maps"]["note"]
    assert "drawn blindly (seed 0)" in run["gallery"]["note"]


def test_figures_and_answers_are_those_of_the_evaluations(runs, capsys):
    run = made(runs, capsys, runs / "one")["runs"][0]
    results = json.loads((runs / "trained" / "probe" / "results.json").read_text())
    probe = run["figures"][0]
    assert probe["name"] == "linear probe"
    assert probe["top1"] == results["summary"]["last"]["top1"]["mean"]
    retrieval = json.loads((runs / "one" / "knn" / "results.json").read_text())
    knn = next(figure for figure in run["figures"] if figure["name"] == "KNN-5")
    assert knn["top1"] == retrieval["at"]["5"]["top1"]
    scores = load_scores(runs / "trained" / "probe" / results["runs"][0]["scores"])
    wrong = {
        name
        for name, label, row in zip(scores.names, scores.labels, scores.scores, strict=True)
        if row.argmax() != label
    }
    assert {name for name, _, _ in run["tests"][1]["mistakes"]} == wrong


def test_all_clips_give_the_figure_of_retrieval_itself(runs, capsys):
    everything = ("--knn-clips", "999", "999")
    capsys.readouterr()
    output = runs / "whole.html"
    data = ("--data-path", str(runs / "data"), "--device", "cpu")
    report.main([str(runs / "one"), *data, *FAST, *everything, "--output", str(output)])
    text = output.read_text(encoding="utf-8")
    (run,) = json.loads(re.search(r'id="report">(.*?)</script>', text, re.S)[1])["runs"]
    (own,) = [figure for figure in run["figures"] if figure["name"] == "KNN-1"]
    retrieval = json.loads((runs / "one" / "knn" / "results.json").read_text())
    assert own["top1"] == pytest.approx(retrieval["at"]["1"]["top1"])
    assert own["random"] is not None


def test_several_runs_share_their_queries_and_clips(runs, capsys):
    found = made(runs, capsys, runs / "one", runs / "two" / "checkpoint_last.pth.tar")
    one, two = found["runs"]
    assert (one["name"], two["name"]) == ("one", "two")
    names = [(clip["name"], clip["frames"]) for clip in found["clips"]]
    assert len(set(names)) == len(names)
    queries = [{query["clip"] for query in run["gallery"]["queries"]} for run in (one, two)]
    assert len(queries[0]) == len(queries[1]) == 3  # six in all
    assert queries[0] & queries[1]


def test_the_same_command_makes_the_same_page(runs, capsys):
    assert made(runs, capsys, runs / "two") == made(runs, capsys, runs / "two")


def test_the_picture_shows_the_gallery_of_the_page(runs, capsys):
    found = made(runs, capsys, runs / "one", "--animation", runs / "picture.svg")
    assert (runs / "picture.svg").read_text(encoding="utf-8") == animation(found)


def test_a_published_checkpoint_is_told_its_data(runs, capsys):
    write_checkpoint(runs / "published" / "checkpoint_0450.pth.tar", granularity=2)
    data = ("--dataset", "ntu60", "--protocol", "cross_view", "--stream", "joint")
    found = made(runs, capsys, runs / "published", *data)
    assert found["runs"][0]["curves"] == []
    with pytest.raises(SystemExit) as stopped:
        made(runs, capsys, runs / "published")
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: .*does not say its dataset; give --dataset\n", error)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere"], "no checkpoint at nowhere"),
        ([], "RUN: is missing"),
        (["x", "--output", "x.pdf"], "--output x.pdf: the name must end in .html"),
        (["x", "--animation", "x.gif"], "--animation x.gif: the name must end in .svg"),
        (["x", "--knn-clips", "100"], "--knn-clips"),
        (["x", "--frames", "1"], "--frames 1: needs a whole number, 2 to 64"),
    ],
)
def test_faults_are_one_line(arguments, fault, capsys):
    with pytest.raises(SystemExit) as stopped:
        report.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith(f"error: {fault}")
    assert error.count("\n") == 1
