"""Accuracies against scikit-learn and against counting by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from tools.evaluation.metrics import average_precision, top_k_accuracy


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_top_k_accuracy_is_scikit_learns(k):
    generator = torch.Generator().manual_seed(k)
    scores = torch.randn(200, 9, generator=generator)
    labels = torch.randint(9, (200,), generator=generator)
    expected = 100 * top_k_accuracy_score(labels, scores, k=k, labels=range(9))
    assert top_k_accuracy(scores, labels, k).item() == pytest.approx(expected, abs=1e-9)


def test_equal_scores_rank_by_class_and_give_no_free_accuracy():
    labels = torch.arange(10)
    for k in (1, 3, 10):
        assert top_k_accuracy(torch.zeros(10, 10), labels, k).item() == pytest.approx(10 * k)


def test_with_no_more_classes_than_k_everything_is_right():
    assert top_k_accuracy(torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 3, 2, 1]), 5) == 100


def test_a_score_that_is_not_a_number_never_counts_as_right():
    nan = float("nan")
    scores = torch.tensor([[nan, nan, nan], [nan, 2.0, 1.0], [3.0, 2.0, nan], [nan, 1.0, 2.0]])
    assert top_k_accuracy(scores, torch.tensor([0, 0, 0, 2]), 1).item() == 0
    assert top_k_accuracy(scores, torch.tensor([0, 0, 0, 2]), 2).item() == 50
    assert top_k_accuracy(scores, torch.tensor([0, 0, 0, 2]), 5).item() == 50


@pytest.mark.parametrize("rounded", [False, True])
def test_average_precision_is_scikit_learns_ties_included(rounded):
    generator = np.random.default_rng(3)
    similarities = generator.normal(size=(30, 90)).astype(np.float32)
    if rounded:
        similarities = similarities.round()  # about seven distinct values
    relevant = generator.random(90) < 0.2
    expected = [average_precision_score(relevant, row) for row in similarities]
    answer = average_precision(torch.from_numpy(similarities), torch.from_numpy(relevant))
    np.testing.assert_allclose(answer, expected, atol=1e-12)


def test_average_precision_without_anything_relevant_is_zero():
    assert (average_precision(torch.randn(3, 5), torch.zeros(5, dtype=torch.bool)) == 0).all()


def test_a_collapsed_encoder_has_the_average_precision_of_chance():
    relevant = torch.arange(50) < 5
    torch.testing.assert_close(
        average_precision(torch.ones(2, 50), relevant), torch.full((2,), 0.1).double()
    )
