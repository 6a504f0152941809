"""Labelled subsets: published sizes, the same on any machine, seeds and runs apart."""

import pytest
import torch

from dataset.protocols import NTU60
from tests.support.raw_ntu import all_names
from tools.evaluation.subset import SUBSETS, draw_subset, run_seed, subset_generator
from tools.prepare.formats import ntu

SIZES = {  # fraction: plain cross-subject, cross-view; stratified cross-subject, cross-view
    0.01: (400, 376, 419, 360),
    0.02: (801, 752, 780, 765),
    0.05: (2004, 1882, 2006, 1885),
    0.1: (4009, 3764, 4009, 3763),
    0.2: (8018, 7529, 8014, 7523),
}


@pytest.fixture(scope="module")
def published():
    """Names and labels of both training parts of NTU RGB+D 60."""
    missing = ntu.read_missing_list(ntu.official_missing_list("ntu60"))
    clips = {name: ntu.ClipName.parse(name) for name in all_names() if name not in missing}
    clips = {name: clip for name, clip in clips.items() if clip.belongs_to(NTU60)}
    parts = {}
    for protocol in ("cross_subject", "cross_view"):
        names = [name for name, clip in clips.items() if clip.parts(NTU60)[protocol] == "train"]
        parts[protocol] = names, torch.tensor([clips[name].action - 1 for name in names])
    return parts


def split(counts):
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    return [f"clip{index:05}" for index in range(len(labels))], labels


def draw(names, labels, fraction, kind, seed=0, run=0):
    return draw_subset(names, labels, fraction, kind, subset_generator(seed, run))


@pytest.mark.parametrize("fraction", SIZES)
def test_sizes_are_those_of_the_published_splits(fraction, published):
    found = [len(draw(*part, fraction, kind)) for kind in SUBSETS for part in published.values()]
    assert tuple(found) == SIZES[fraction]


@pytest.mark.parametrize(("fraction", "per_class"), [(0.01, {6, 7}), (0.02, {13})])
def test_a_stratified_draw_takes_about_as_many_of_each_class(fraction, per_class, published):
    names, labels = published["cross_subject"]
    counts = torch.bincount(labels[draw(names, labels, fraction, "stratified")]).tolist()
    assert set(counts) == per_class


def test_a_stratified_draw_leaves_no_class_out():
    names, labels = split([1, 300, 2])
    counts = torch.bincount(labels[draw(names, labels, 0.01, "stratified")]).tolist()
    assert counts == [1, 3, 1]


@pytest.mark.parametrize(("clips", "fraction", "size"), [(100, 0.29, 29), (100, 0.07, 7)])
def test_the_fraction_counts_as_written_not_as_rounded(clips, fraction, size):
    assert len(draw(*split([clips]), fraction, "plain")) == size


@pytest.mark.parametrize("kind", SUBSETS)
def test_the_order_on_disk_does_not_matter(kind):
    names, labels = split([30, 50, 20])
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    shuffled = [names[index] for index in order]
    first = [names[index] for index in draw(names, labels, 0.2, kind)]
    assert first == [shuffled[index] for index in draw(shuffled, labels[order], 0.2, kind)]
    assert first == sorted(first)
    assert len(set(first)) == 20


@pytest.mark.parametrize("kind", SUBSETS)
def test_seeds_and_runs_draw_other_subsets_and_repeat_their_own(kind):
    names, labels = split([300, 300])
    drawn = {
        (seed, run): tuple(draw(names, labels, 0.1, kind, seed, run).tolist())
        for seed in (0, 1)
        for run in range(5)
    }
    assert len(set(drawn.values())) == len(drawn)
    for (seed, run), clips in drawn.items():
        assert tuple(draw(names, labels, 0.1, kind, seed, run).tolist()) == clips


def test_a_draw_is_the_same_on_any_machine():
    assert draw(*split([20, 20]), 0.2, "plain").tolist() == [21, 26, 27, 29, 34, 36, 38, 39]
    assert draw(*split([20, 20]), 0.2, "stratified").tolist() == [4, 9, 14, 17, 21, 23, 28, 32]


def test_the_first_run_has_the_seed_itself_and_no_other_run_shares_one():
    seeds = {run_seed(seed, run) for seed in range(20) for run in range(20)}
    assert len(seeds) == 400
    assert [run_seed(seed, 0) for seed in (0, 7, 2**63 - 1)] == [0, 7, 2**63 - 1]


def test_a_fraction_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^--label-fraction 0\.01: leaves none of 24 clips$"):
        draw(*split([24]), 0.01, "plain")


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="^--subset fair: known are plain, stratified$"):
        draw(*split([24]), 0.5, "fair")
