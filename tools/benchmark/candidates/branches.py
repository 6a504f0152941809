"""The four passes of a step, query and key network by time and space branch: other launches."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from moco import HiCo, Views
from tools.benchmark.candidates.case import Candidate, Case, Compute, weights_of


def one_stream(model: HiCo, query: Views, key: Views) -> tuple[Tensor, ...]:
    """As the product: one after the other; clip and part of the query, then of the key."""
    features = model.query.encoder(query)
    with torch.no_grad():
        return *features, *model.key.encoder(key)


def four_streams(
    model: HiCo, query: Views, key: Views, streams: list[torch.cuda.Stream]
) -> tuple[Tensor, ...]:
    """Each pass on a stream of its own, forked from the current one and joined to it.

    Args:
        model: whose encoders are run.
        query: the first view.
        key: the second view.
        streams: four, or none on a CPU, which runs the passes in turn.
    """
    passes = [
        (network.encoder.get_submodule(branch), layout, learns)
        for network, view, learns in ((model.query, query, True), (model.key, key, False))
        for branch, layout in view._asdict().items()
    ]
    found = []
    for number, (branch, layout, learns) in enumerate(passes):
        stream = streams[number] if streams else None
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream(layout.device))
        with (
            torch.cuda.stream(stream) if streams else nullcontext(),
            torch.set_grad_enabled(learns),
        ):
            found.append(branch(layout))
    for stream in streams:
        torch.cuda.current_stream(query.time.device).wait_stream(stream)
    return tuple(found)


def forked(case: Case) -> Iterator[Candidate]:
    """Four streams against one."""
    model, (query, key) = case.model(), case.views()
    count = 4 if case.device.type == "cuda" else 0
    streams = [torch.cuda.Stream(case.device) for _ in range(count)]
    yield Candidate(
        "passes: forked and joined",
        _learning(case, model, lambda: one_stream(model, query, key)),
        _learning(case, model, lambda: four_streams(model, query, key, streams)),
        every_kind=True,
    )


def compiled(case: Case) -> Iterator[Candidate]:
    """torch.compile of each branch; where it was asked for."""
    if case.compiler is None:
        return
    model, (query, _) = case.model(), case.views()
    encoder = model.query.encoder
    time, space = (
        torch.compile(part, backend=case.compiler) for part in (encoder.time, encoder.space)
    )
    yield Candidate(
        "branch: torch.compile",
        _learning(case, model, lambda: tuple(encoder(query))),
        _learning(case, model, lambda: (time(query.time), space(query.space))),
        every_kind=True,
    )


def _learning(case: Case, model: HiCo, compute: Compute) -> Compute:
    return case.differentiated(compute, weights_of(model.query.encoder))
