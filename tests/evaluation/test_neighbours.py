"""Retrieval against the golden, scikit-learn and plain float64, ties included."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from tests.support.paths import GOLDENS
from tools.evaluation import neighbours as knn
from tools.evaluation.neighbours import rank, recalled, vote

GOLDEN = GOLDENS / "knn.npz"


class Answer(NamedTuple):
    """What a look-up says: percentages, voted classes (Q,), neighbours (Q, k)."""

    top1: float
    top5: float
    mean_average_precision: float
    predictions: torch.Tensor
    neighbours: torch.Tensor


def retrieve(train, train_labels, test, test_labels, k=1):
    """Rank, let the k nearest vote, and look for the class among the five nearest."""
    found = rank(train, train_labels, test, test_labels, max(k, min(5, len(train))))
    predictions = vote(train_labels[found.neighbours[:, :k]])
    return Answer(
        100 * (predictions == test_labels).double().mean().item(),
        100 * recalled(found, train_labels, test_labels, 5).double().mean().item(),
        100 * found.precision.mean().item(),
        predictions,
        found.neighbours[:, :k],
    )


def golden(name):
    return torch.from_numpy(np.load(GOLDEN)[name])


def data(seed=0, train=300, test=120, size=24, classes=5, noise=2.0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, size, generator=generator)
    labels = torch.randint(classes, (train + test,), generator=generator)
    features = centres[labels] + noise * torch.randn(train + test, size, generator=generator)
    return features[:train], labels[:train], features[train:], labels[train:]


def scikit_learn(train, train_labels, k):
    """A fitted classifier; in float64, so that its own rounding decides nothing."""
    classifier = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute")
    return classifier.fit(train.double().numpy(), train_labels.numpy())


def plain(train, test):
    """(Q, N) cosines in float64, equal for equal rows, and the ranking with the first row first."""
    rows, back = np.unique(train.double().numpy(), axis=0, return_inverse=True)
    queries = test.double().numpy()
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(queries, axis=1)[:, None]
    cosines = (queries @ rows.T / np.where(lengths == 0, 1, lengths))[:, back.ravel()]
    return cosines, torch.from_numpy(np.argsort(-cosines, axis=1, kind="stable"))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_published_neighbours_and_predictions_are_reproduced(k):
    parts = ("train_features", "train_labels", "test_features", "test_labels")
    answer = retrieve(*(golden(name) for name in parts), k=k)
    assert torch.equal(answer.neighbours, golden(f"neighbours_k{k}"))
    assert torch.equal(answer.predictions, golden(f"prediction_k{k}"))
    assert answer.top1 == pytest.approx(100 * golden(f"accuracy_k{k}").item(), abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 20])
def test_neighbours_and_predictions_are_scikit_learns_drawn_votes_included(k):
    train, train_labels, test, test_labels = data(seed=k)
    theirs = scikit_learn(train, train_labels, k)
    answer = retrieve(train, train_labels, test, test_labels, k)
    assert answer.neighbours.tolist() == theirs.kneighbors(test.double(), k, False).tolist()
    assert answer.predictions.tolist() == theirs.predict(test.double()).tolist()
    assert answer.top1 == pytest.approx(100 * theirs.score(test.double(), test_labels), abs=1e-9)
    counts = torch.nn.functional.one_hot(train_labels[answer.neighbours]).sum(dim=1)
    drawn = (counts == counts.amax(dim=1, keepdim=True)).sum(dim=1) > 1
    assert drawn.any() == (k > 1)  # or the test shows nothing about draws


def test_on_a_draw_the_smaller_class_wins():
    labels = torch.tensor([[3, 1, 1, 3], [4, 2, 0, 0], [2, 1, 0, 3], [4, 4, 1, 0]])
    assert vote(labels).tolist() == [1, 0, 0, 4]


def test_neighbours_are_right_where_float32_cannot_tell_them_apart():
    train, train_labels, test, test_labels = data(noise=0.05, size=64)
    train, test = train + 300, test + 300  # all cosines above 0.9999
    cosines, ranking = plain(train, test)
    assert cosines.min() > 0.9999
    naive = [torch.nn.functional.normalize(x, dim=1) for x in (test, train)]
    naive = (naive[0] @ naive[1].T).topk(5, dim=1).indices
    assert not torch.equal(naive, ranking[:, :5])  # or the test shows nothing
    answer = retrieve(train, train_labels, test, test_labels, k=5)
    assert torch.equal(answer.neighbours, ranking[:, :5])


@pytest.mark.parametrize("copies", [2, 3, 40])
def test_of_equally_near_clips_the_first_in_the_gallery_is_nearest(copies):
    train, _, test, test_labels = data(train=60)
    order = torch.randperm(60 * copies, generator=torch.Generator().manual_seed(copies))
    train = train.repeat(copies, 1)[order]
    train_labels = torch.arange(len(train)) % 5  # copies of one clip differ in class
    answer = retrieve(train, train_labels, test, test_labels, k=7)
    _, ranking = plain(train, test)
    assert torch.equal(answer.neighbours, ranking[:, :7])
    assert torch.equal(answer.predictions, vote(train_labels[ranking[:, :7]]))


@pytest.mark.parametrize("k", [1, 4, 7])
def test_with_copies_distances_are_scikit_learns_and_so_are_votes_that_no_order_can_change(k):
    """scikit-learn leaves the order of equally near clips open; what does not hang on it agrees."""
    train, train_labels, test, test_labels = data(train=60)
    train, train_labels = train.repeat(3, 1), train_labels.repeat(3)
    answer = retrieve(train, train_labels, test, test_labels, k)
    theirs = scikit_learn(train, train_labels, k)
    distances, _ = theirs.kneighbors(test.double())
    ours = 1 - np.take_along_axis(plain(train, test)[0], answer.neighbours.numpy(), axis=1)
    np.testing.assert_allclose(ours, distances, atol=1e-12)
    assert answer.predictions.tolist() == theirs.predict(test.double()).tolist()


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_collapsed_encoder_is_answered_in_gallery_order_with_the_score_of_chance(value):
    _, train_labels, _, test_labels = data()
    train, test = torch.full((300, 24), value), torch.full((120, 24), value)
    answer = retrieve(train, train_labels, test, test_labels, k=3)
    assert answer.neighbours.tolist() == [[0, 1, 2]] * 120
    share = np.bincount(train_labels)[test_labels] / 300
    assert answer.mean_average_precision == pytest.approx(100 * share.mean(), abs=1e-9)


def test_a_zero_vector_is_similar_to_nothing_as_in_scikit_learn():
    train, train_labels, test, test_labels = data()
    train[7], test[3] = 0, 0
    answer = retrieve(train, train_labels, test, test_labels, k=2)
    _, ranking = plain(train, test)
    assert torch.equal(answer.neighbours, ranking[:, :2])
    assert answer.neighbours[3].tolist() == [0, 1]


def test_top5_asks_for_the_class_among_the_five_nearest_whatever_k_is():
    parts = data()
    _, ranking = plain(parts[0], parts[2])
    right = (parts[1][ranking[:, :5]] == parts[3][:, None]).any(dim=1)
    for k in (1, 8):
        expected = 100 * right.double().mean().item()
        assert retrieve(*parts, k=k).top5 == pytest.approx(expected, abs=1e-9)


def test_mean_average_precision_is_scikit_learns_over_the_full_ranking():
    train, train_labels, test, test_labels = data()
    cosines, _ = plain(train, test)
    expected = [
        average_precision_score(train_labels == label, row)
        for label, row in zip(test_labels, cosines, strict=True)
    ]
    answer = retrieve(train, train_labels, test, test_labels).mean_average_precision
    assert answer == pytest.approx(100 * np.mean(expected), abs=1e-4)


def test_a_class_without_training_clips_is_never_right():
    train, train_labels, test, _ = data()
    answer = retrieve(train, train_labels, test, torch.full((120,), 9))
    assert (answer.top1, answer.top5, answer.mean_average_precision) == (0, 0, 0)


def test_a_gallery_smaller_than_five_is_enough():
    train, train_labels, test, test_labels = data(train=3)
    answer = retrieve(train, train_labels, test, test_labels, k=3)
    assert torch.equal(answer.neighbours, plain(train, test)[1])


def test_the_length_of_a_feature_does_not_matter():
    train, train_labels, test, test_labels = data()
    scaled = train * torch.logspace(-8, 8, 300)[:, None]
    answer = retrieve(scaled, train_labels, test * 1e6, test_labels, k=4)
    assert torch.equal(answer.neighbours, plain(scaled, test)[1][:, :4])


@pytest.mark.parametrize("block", [1, 700, 10**9])
def test_blocks_change_memory_and_nothing_else(block, monkeypatch):
    train, train_labels, test, test_labels = data(noise=0.05)
    train[::3] = train[0]
    whole = retrieve(train, train_labels, test, test_labels, k=5)
    monkeypatch.setattr(knn, "BLOCK", block)
    monkeypatch.setattr(knn, "ROWS", 7)
    monkeypatch.setattr(knn, "TERMS", 5)
    monkeypatch.setattr(knn, "TILE", 64)
    compare, held = knn._Gallery.compare, []

    def spy(gallery, queries):
        similarities, error = compare(gallery, queries)
        held.append(similarities.numel())
        return similarities, error

    monkeypatch.setattr(knn._Gallery, "compare", spy)
    parts = retrieve(train, train_labels, test, test_labels, k=5)
    assert torch.equal(parts.neighbours, whole.neighbours)
    assert parts.mean_average_precision == pytest.approx(whole.mean_average_precision, abs=1e-4)
    assert max(held) <= block + len(train)


def test_the_bound_on_the_rounding_of_similarities_holds():
    train, _, test, _ = data(size=700, noise=0.5)
    gallery = knn._Gallery.of(train + 1)
    similarities, error = gallery.compare(test + 1)
    exact = torch.from_numpy(plain(train + 1, test + 1)[0])
    unit = torch.nn.functional.normalize((test + 1).double(), dim=1)
    off = similarities - (exact - (unit @ gallery.mean)[:, None])
    assert (off.abs() <= error[:, None]).all()
    assert off.abs().max() > 0
    assert error.max() < 1e-4  # and says something


def test_products_are_float32_proper_and_the_setting_is_put_back(monkeypatch):
    compare, seen = knn._Gallery.compare, []

    def spy(gallery, queries):
        seen.append(torch.get_float32_matmul_precision())
        return compare(gallery, queries)

    monkeypatch.setattr(knn._Gallery, "compare", spy)
    torch.set_float32_matmul_precision("high")
    try:
        retrieve(*data())
        assert set(seen) == {"highest"}
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("part", ["training", "test"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(part, value):
    parts = list(data())
    parts[0 if part == "training" else 2][3, 4] = value
    with pytest.raises(ValueError, match=f"the {part} features are not finite; choose another"):
        retrieve(*parts)


@pytest.mark.parametrize("k", [0, 301])
def test_more_neighbours_than_training_clips_are_refused(k):
    with pytest.raises(ValueError, match=f"--knn-neighbours {k}: there are 300 training clips"):
        rank(*data(), most=k)
