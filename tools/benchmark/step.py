"""One pre-training step at full size: key update, both passes, loss, backward, SGD, enqueue."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch

from moco import HiCo, Views
from options.pretraining import PretrainingOptions
from tools.benchmark.floor import Work, step_work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle, plain_model
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side
from tools.checkpoint import make_optimizer
from tools.runtime import set_precision
from tools.training.recorded import WARM_UP, Repeated, choose_recorder
from tools.training.step import random_views, training_step


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure the step of each encoder, in train mode with dropout, on views that lie ready.

    The oracle's steps are float32, whatever the precision of ours.
    """
    for kind, precision, graph in product(sizes.kinds, sizes.precisions, sizes.graphs):
        run = sizes.run_of(kind, precision, graph)
        model = HiCo(run.encoder, run.contrast)
        plain = plain_model(model).to(sizes.device)
        query, key = (random_views(run.encoder, sizes.batch, sizes.device) for _ in range(2))
        yield measure(
            f"step, {kind}, {precision}{', recorded' if graph == 'auto' else ''}",
            ours=our_side(model.to(sizes.device), query, key, run),
            plain=plain_side(plain, query, key),
            least=full_step(model, run),
            sizes=sizes,
            precision=precision,
            note=f"batch {sizes.batch}, d {run.encoder.hidden_size}, views ready; plain: float32",
        )


def full_step(model: HiCo, run: PretrainingOptions) -> Work:
    """The least work of a step of this model."""
    parameters = sum(parameter.numel() for parameter in model.query.parameters())
    return step_work(run.encoder, run.contrast, run.training.batch_size, parameters)


def our_side(model: HiCo, query: Views, key: Views, run: PretrainingOptions) -> Side:
    """Our step, the very one that pre-training takes; recorded already where it will be."""
    device, training, speed = query.time.device, run.training, run.speed
    optimizer = make_optimizer(
        model,
        learning_rate=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )

    def _losses() -> torch.Tensor:
        return torch.stack([*training_step(model, optimizer, query, key, speed.precision)])

    recorder, how = choose_recorder(speed.graph, device, resident=True)
    step = Repeated(_losses, device, recorder, how)
    set_precision(speed.precision, device)
    for _ in range(WARM_UP + 1 if recorder is not None else 0):
        step()
    return step


def plain_side(model: torch.nn.Module, query: Views, key: Views) -> Side:
    """The oracle's step in the published order, at the published rates."""
    steps = oracle("step")
    return partial(
        steps.plain_step, model, steps.plain_optimizer(model), query=tuple(query), key=tuple(key)
    )
