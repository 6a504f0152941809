"""Learning rates against the published ones."""

import json

import pytest

from tests.support.paths import GOLDENS
from tools.training.schedule import learning_rate

GOLDEN = json.loads((GOLDENS / "schedules.json").read_text())


def test_the_step_schedule_agrees():
    rates = GOLDEN["pretrain_step_lr0.01_at351_451epochs"]
    at = [0, 50, 100, 150, 200, 250, 300, 350, 351, 450]
    assert [learning_rate(0.01, e, 451, (351,)) for e in at] == pytest.approx(rates, rel=1e-12)


def test_the_cosine_agrees():
    rates = GOLDEN["cosine_lr0.03_200epochs_every20"]
    got = [learning_rate(0.03, e, 200, cosine=True) for e in range(0, 200, 20)]
    assert got == pytest.approx(rates, rel=1e-9)


def test_each_milestone_divides_by_ten_from_its_epoch_on():
    got = [learning_rate(2.0, e, 80, (50, 70)) for e in (49, 50, 69, 70)]
    assert got == pytest.approx([2.0, 0.2, 0.2, 0.02])
