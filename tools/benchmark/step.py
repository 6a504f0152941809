"""One pre-training step at full size: key update, both passes, loss, backward, SGD, enqueue."""

from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import torch

from moco import EncoderConfig, HiCo, Views
from moco.published import to_published
from tools.benchmark.floor import SPACE_TOKENS, TIME_TOKENS, Work, step_work
from tools.benchmark.measure import measure
from tools.benchmark.plain import oracle
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.benchmark.timing import Side
from tools.checkpoint import make_optimizer
from tools.runtime import set_precision
from tools.training.trainer import training_step

RATES = (0.01, 0.9, 1e-4)
"""Learning rate, momentum and weight decay, as published."""


def rows(settings: Settings) -> Iterator[Row]:
    """Measure the step of each encoder, in train mode with dropout, on views that lie ready.

    The oracle's steps are float32, whatever the precision of ours.
    """
    for kind in settings.kinds:
        for precision in settings.precisions:
            yield _row(kind, precision, settings)


def _row(kind: str, precision: str, settings: Settings) -> Row:
    config = EncoderConfig(kind, settings.hidden_size)
    model = HiCo(config, queue_size=settings.queue_size)
    query, key = (random_views(config, settings) for _ in range(2))
    plain = plain_side(plain_model(model).to(settings.device), query, key)
    return measure(
        f"step, {kind}, {precision}",
        our_side(model.to(settings.device), query, key, precision),
        in_float32(plain, settings),
        full_step(model, settings),
        settings,
        precision=precision,
        note=f"batch {settings.batch}, d {settings.hidden_size}, views ready; plain: float32",
    )


def full_step(model: HiCo, settings: Settings) -> Work:
    """The least work of a step of this model."""
    parameters = sum(parameter.numel() for parameter in model.query.parameters())
    sizes = (model.projection_size, model.queue_size)
    return step_work(model.config, settings.batch, parameters, *sizes)


def in_float32(side: Side, settings: Settings) -> Side:
    """The same with products in float32 proper."""

    def _side() -> object:
        set_precision("fp32", settings.device)
        return side()

    return _side


def random_views(config: EncoderConfig, settings: Settings) -> Views:
    """One view of a batch: random coordinates in both layouts."""
    time = torch.randn(settings.batch, TIME_TOKENS, config.time_features)
    space = torch.randn(settings.batch, SPACE_TOKENS, config.space_features)
    return Views(time.to(settings.device), space.to(settings.device))


def our_side(model: HiCo, query: Views, key: Views, precision: str = "fp32") -> Side:
    """Our step, the very one that pre-training takes."""
    optimizer = make_optimizer(model, *RATES)

    def _step() -> None:
        set_precision(precision, query.time.device)
        training_step(model, optimizer, query, key, precision)

    return _step


def plain_model(model: HiCo) -> Any:
    """The oracle's model in the same state, so that both sides do the same sums."""
    config = model.config
    plain = oracle("model").PlainHiCo(
        config.kind,
        config.hidden_size,
        config.num_heads,
        config.num_layers,
        config.granularity,
        projection_size=model.projection_size,
        queue_size=model.queue_size,
        momentum=model.momentum,
        temperature=model.temperature,
    )
    plain.load_state_dict(to_published(model))
    return plain


def plain_side(model: torch.nn.Module, query: Views, key: Views) -> Side:
    """The oracle's step in the published order."""
    steps: ModuleType = oracle("step")
    optimizer = steps.plain_optimizer(model, *RATES)
    return partial(steps.plain_step, model, optimizer, tuple(query), tuple(key))
