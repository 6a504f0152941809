"""Which action a recording shows: `python -m tools.predict --classifier FILE CLIP …`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moco.config import read_encoder_config
from options.groups import RANDOM, DataOptions
from options.predict import PredictOptions, parser
from tools.errors import one_line_errors

if TYPE_CHECKING:
    from torch import Tensor

    from tools.evaluation.recording import FrozenEncoder

Json = dict[str, Any]


def predict(options: PredictOptions) -> list[Json]:
    """Name the likeliest classes of each recording, and the training clips nearest to it.

    Returns:
        For each recording `clip`, `classes` (class from 1 on, name, probability) and `nearest`
        (name, class, distance in [0, 2]; empty where nobody says where the training clips lie).

    Raises:
        OSError, ValueError: a recording, the classifier, its encoder or its data set cannot be read
            or do not fit.
    """
    from tools import checkpoint

    if not options.classifier.is_file():
        raise FileNotFoundError(
            f"no classifier at {options.classifier}; action_classification.py writes it"
        )
    payload = checkpoint.read(options.classifier)
    if not {"fc.weight", "fc.bias"} <= payload["state_dict"].keys() or "identity" not in payload:
        raise ValueError(
            f"{options.classifier} is not a classifier of action_classification.py; "
            "name a *_model_best.pth.tar"
        )
    encoder = _encoder(options, payload)
    features = encoder.embed(options.clips)
    found = _classes(features, payload, options.top)
    nearest = _nearest(encoder, features, payload["identity"], options)
    return [
        {"clip": str(clip), "classes": classes, "nearest": near}
        for clip, classes, near in zip(options.clips, found, nearest, strict=True)
    ]


def _encoder(options: PredictOptions, payload: Json) -> FrozenEncoder:
    """The encoder that the classifier belongs to; a fine-tuned one lies in its file."""
    from tools import checkpoint, runtime
    from tools.evaluation.recording import FrozenEncoder, describe
    from tools.prepare.formats.custom import Reader

    identity, about = payload["identity"], payload.get("about", {})
    config = read_encoder_config(about["config"]) if about else None
    start, state = "encoder.", payload["state_dict"]
    own = {name.removeprefix(start): x for name, x in state.items() if name.startswith(start)}
    named = options.pretrained or about.get("pretrained", "")
    if not own and not named:
        raise ValueError("--pretrained: is missing; the classifier does not say its encoder's file")
    if own and config is None:
        raise ValueError(f"{options.classifier} does not say its encoder's sizes; train it again")
    if named != RANDOM and not options.pretrained:
        named = str(options.classifier.parent / named)
    method, _ = checkpoint.load_encoder(
        RANDOM if own else named,
        random_config=config,
        seed=about.get("seed"),
        report=lambda line: None,
    )
    if own:
        method.encoder.load_state_dict(own)
    elif checkpoint.fingerprint(method.encoder) != identity["encoder"]:
        raise ValueError(
            f"--pretrained {named}: {options.classifier} was trained on another encoder; "
            "name the checkpoint that it was trained on"
        )
    described = describe(options.reading, options.data_path, identity["data set"])
    reader = Reader.of(described, options.reading.cut)
    return FrozenEncoder(method.to(runtime.pick_device(options.device)), identity["stream"], reader)


def _classes(features: Tensor, payload: Json, top: int) -> list[list[Json]]:
    """The likeliest classes of each of (N, F) features, likeliest first."""
    import torch.nn.functional as F

    state = payload["state_dict"]
    weight, bias = (state[f"fc.{name}"].to(features.device) for name in ("weight", "bias"))
    names = payload.get("about", {}).get("classes") or [f"class {n + 1}" for n in range(len(bias))]
    likely = F.linear(features, weight, bias).softmax(dim=1).topk(min(top, len(bias)), dim=1)
    return [
        [
            {"class": label + 1, "name": names[label], "probability": probability}
            for label, probability in zip(labels, probabilities, strict=True)
        ]
        for labels, probabilities in zip(
            likely.indices.tolist(), likely.values.tolist(), strict=True
        )
    ]


def _nearest(
    encoder: FrozenEncoder, features: Tensor, identity: Json, options: PredictOptions
) -> list[list[Json]]:
    """The nearest training clips of each of (N, F) features; none without a data path."""
    if options.data_path is None:
        return [[] for _ in features]
    from dataset.arrays import load_arrays
    from dataset.packed import PackedSplit
    from tools.evaluation.features import extract
    from tools.evaluation.recording import nearest, refuse_resized

    data = DataOptions(identity["data set"], identity["protocol"], data_path=options.data_path)
    refuse_resized(data, f"--data-path {options.data_path}")
    train = PackedSplit.from_arrays(load_arrays(data.folder, "train"), features.device)
    gallery = extract(encoder.method, train, encoder.stream)
    rows, distances = nearest(gallery, train.labels, features, min(options.nearest, len(train)))
    return [
        [
            {"name": train.names[row], "class": int(train.labels[row]) + 1, "distance": distance}
            for row, distance in zip(found, away, strict=True)
        ]
        for found, away in zip(rows.tolist(), distances.tolist(), strict=True)
    ]


def shown(found: Sequence[Json]) -> list[str]:
    """Lines for people."""
    lines = []
    for one in found:
        lines.append(one["clip"])
        for each in one["classes"]:
            lines.append(f"  {each['probability']:6.1%}  {each['class']:3d}  {each['name']}")
        for each in one["nearest"]:
            near = f"distance {each['distance']:.6f}  action {each['class']:3d}"
            lines.append(f"  {near}  {each['name']}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    options = parser().parse(argv)
    with one_line_errors():
        found = predict(options)
        text = json.dumps(found, indent=2, ensure_ascii=False) if options.json else None
        print(text or "\n".join(shown(found)))


if __name__ == "__main__":
    main()
