"""The four passes of a step, query and key network by time and space branch: other launches."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from moco import HiCo, Views
from tools.benchmark.candidates.case import Candidate, Case


def one_stream(model: HiCo, query: Views, key: Views) -> tuple[Tensor, ...]:
    """As the product: clip and part of the query, then of the key."""
    features = model.query.encoder(query)
    with torch.no_grad():
        return *features, *model.key.encoder(key)


def four_streams(
    model: HiCo, query: Views, key: Views, streams: list[torch.cuda.Stream | None]
) -> tuple[Tensor, ...]:
    """The same, each pass on a stream of its own, forked from the current one and joined to it."""
    encoders = (model.query.encoder, model.key.encoder)
    branches = [branch for encoder in encoders for branch in (encoder.time, encoder.space)]
    device, found = query.time.device, []
    for number, layout in enumerate([*query, *key]):
        stream = streams[number]
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream), torch.set_grad_enabled(number < len(query)):
            found.append(branches[number](layout))
    for stream in filter(None, streams):
        torch.cuda.current_stream(device).wait_stream(stream)
    return tuple(found)


def forked(case: Case) -> Iterator[Candidate]:
    """Four streams against one; on a CPU, which has none, one pass after the other."""
    (model, learned), (query, key) = _learning(case), case.views()
    on_gpu = case.device.type == "cuda"
    streams = [torch.cuda.Stream(case.device) if on_gpu else None for _ in range(4)]
    yield Candidate(
        "passes: forked and joined",
        case.differentiated(lambda: one_stream(model, query, key), learned),
        case.differentiated(lambda: four_streams(model, query, key, streams), learned),
        every_kind=True,
    )


def compiled(case: Case) -> Iterator[Candidate]:
    """torch.compile of each branch, where it was asked for."""
    if case.compiler is None:
        return
    (model, learned), (query, _) = _learning(case), case.views()
    encoder = model.encoder
    time, space = (torch.compile(b, backend=case.compiler) for b in (encoder.time, encoder.space))
    yield Candidate(
        "branch: torch.compile",
        case.differentiated(lambda: tuple(encoder(query)), learned),
        case.differentiated(lambda: (time(query.time), space(query.space)), learned),
        every_kind=True,
    )


def _learning(case: Case) -> tuple[HiCo, list[nn.Parameter]]:
    model = case.model()
    return model, list(model.encoder.parameters())
