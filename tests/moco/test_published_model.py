"""The model against what the published code answered (tests/goldens/model_*.npz)."""

import json

import numpy as np
import pytest
import torch

from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.heads import LEVELS, Levels
from moco.loss import compare
from moco.published import from_published, optimizer_parameters, published_names, to_published
from tests.support.paths import GOLDENS

NAMES = sorted(path.stem for path in GOLDENS.glob("model_*.npz"))
SIZES = json.loads((GOLDENS / "state_dict_full_size.json").read_text())


class Golden:
    """One golden file: the starting model and the answers."""

    def __init__(self, name):
        self.arrays = np.load(GOLDENS / f"{name}.npz")
        self.meta = json.loads(str(self.arrays["meta"]))
        self.start = self.group("init/")
        self.model = from_published(
            self.start,
            momentum=self.meta["momentum"],
            temperature=self.meta["temperature"],
            num_heads=self.meta["encoder_args"]["num_head"],
        ).eval()

    def group(self, prefix):
        names = [name for name in self.arrays.files if name.startswith(prefix)]
        return {name.removeprefix(prefix): torch.from_numpy(self.arrays[name]) for name in names}

    def views(self, side, roll=0):
        scale = self.meta["input_scale"]
        layouts = [self.arrays[f"input/{side}_{kind}"] * scale for kind in ("time", "space")]
        return Views(*(torch.from_numpy(x).float().roll(roll, 0) for x in layouts))

    def close(self, got, name, tolerance=1e-5):
        torch.testing.assert_close(
            got.detach(), torch.from_numpy(self.arrays[name]), atol=tolerance, rtol=0
        )


@pytest.fixture(params=NAMES)
def golden(request):
    return Golden(request.param)


def test_every_golden_model_is_here():
    assert len(NAMES) == 5


def test_kind_sizes_granularity_and_layers_are_read_off_the_state(golden):
    args = golden.meta["encoder_args"]
    config = golden.model.config
    assert config.kind == args["encoder"]
    assert config.hidden_size == args["hidden_size"]
    assert config.num_layers == args["num_layer"]
    assert config.granularity == args["granularity"]
    assert golden.model.contrast.queue_size == golden.meta["queue_size"]
    assert golden.model.contrast.projection_size == golden.meta["dim"]


def test_features_agree(golden):
    features = golden.model.encoder(golden.views("query"))
    golden.close(features.clip, "eval/clip_features")
    golden.close(features.part, "eval/part_features")
    golden.close(golden.model.encoder(golden.views("query")).instance, "eval/instance_features")


def test_projections_agree_up_to_their_length(golden):
    projections = golden.model.query(golden.views("query"))
    for level in LEVELS:
        expected = torch.from_numpy(golden.arrays[f"eval/projection_{level}"])
        got = getattr(projections, level)
        torch.testing.assert_close(
            got.detach(), torch.nn.functional.normalize(expected, dim=-1), atol=1e-5, rtol=0
        )


def test_first_logits_and_gradients_agree(golden):
    model = golden.model
    model.update_momentum()
    query, key = golden.views("query"), golden.views("key")
    queues = Levels(*(model.queues[level].keys for level in LEVELS))
    logits = compare(model.query(query), model.key(key), queues, model.contrast.temperature)
    for level in LEVELS:
        golden.close(torch.cat(getattr(logits, level), dim=1), f"step0/logits_{level}")
    losses, _ = model(query, key)
    losses.total.backward()
    names = published_names(model)
    parameters = dict(model.named_parameters())
    expected = golden.group("step0/grad/")
    assert expected
    for name, gradient in expected.items():
        got = parameters[names["encoder_q." + name]].grad
        torch.testing.assert_close(got, gradient, atol=1e-5, rtol=0, msg=lambda m, n=name: n + m)


def _ten_steps(golden, enqueue_first):
    model, meta = golden.model, golden.meta
    optimizer = torch.optim.SGD(
        model.query.parameters(),
        meta["lr"],
        momentum=meta["sgd_momentum"],
        weight_decay=meta["weight_decay"],
    )
    rows = []
    for step in range(meta["steps"]):
        model.update_momentum()
        losses, keys = model(golden.views("query", step), golden.views("key", step))
        if enqueue_first:
            model.enqueue(keys)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        if not enqueue_first:
            model.enqueue(keys)
        rows.append([float(losses[i].detach()) for i in range(5)] + [float(losses.total.detach())])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("enqueue_first", [True, False])
def test_ten_steps_end_where_the_published_code_ends(golden, enqueue_first):
    losses = _ten_steps(golden, enqueue_first)
    expected = torch.from_numpy(golden.arrays["steps/losses"])
    torch.testing.assert_close(losses[0], expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(losses, expected, atol=1e-4, rtol=0)
    final = golden.group("final/")
    state = to_published(golden.model)
    assert final.keys() == state.keys()
    for name, tensor in final.items():
        if name.endswith("_ptr"):
            assert torch.equal(state[name], tensor), name
        else:
            torch.testing.assert_close(
                state[name].detach(), tensor, atol=1e-4, rtol=0, msg=lambda m, n=name: n + m
            )


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_full_size_state_has_the_published_names_shapes_and_order(kind):
    with torch.device("meta"):
        model = HiCo(encoder_config(kind=kind))
    state = to_published(model)
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    assert shapes == SIZES[kind]["state_dict"]
    assert list(shapes) == list(SIZES[kind]["state_dict"])
    names = {ours: published for published, ours in published_names(model).items()}
    order = [names[ours] for ours in optimizer_parameters(model)]
    assert order == SIZES[kind]["optimizer_param_order"]
    count = sum(parameter.numel() for parameter in model.query.parameters())
    assert count == SIZES[kind]["encoder_q_parameters"]


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_published_state_comes_back_to_the_last_bit(kind):
    torch.manual_seed(0)
    config = encoder_config(kind=kind, hidden_size=16, num_layers=2, granularity=3)
    state = to_published(HiCo(config, ContrastConfig(projection_size=8, queue_size=32)))
    again = to_published(from_published(state))
    assert list(again) == list(state)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_reading_a_state_neither_draws_nor_shares_memory():
    model = HiCo(encoder_config(hidden_size=16), ContrastConfig(projection_size=8, queue_size=32))
    state = to_published(model)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    other = from_published(state)
    assert torch.equal(torch.get_rng_state(), before)
    other.query.heads.clip[0].weight.data.zero_()
    assert model.query.heads.clip[0].weight.abs().sum() > 0
    assert all(parameter.requires_grad for parameter in other.query.parameters())
    assert not any(parameter.requires_grad for parameter in other.key.parameters())


def _small_state():
    torch.manual_seed(0)
    model = HiCo(
        encoder_config(hidden_size=16, granularity=2),
        ContrastConfig(projection_size=8, queue_size=32),
    )
    return to_published(model)


def test_a_missing_key_is_named():
    state = _small_state()
    del state["encoder_q.clip_proj.2.bias"]
    with pytest.raises(ValueError, match="missing encoder_q.clip_proj.2.bias"):
        from_published(state)


def test_an_unknown_key_is_named():
    state = _small_state() | {"encoder_q.surprise": torch.zeros(1)}
    with pytest.raises(ValueError, match="unknown encoder_q.surprise"):
        from_published(state)


def test_a_wrong_shape_is_named():
    state = _small_state() | {"t_queue": torch.zeros(8, 31)}
    with pytest.raises(ValueError, match=r"t_queue is \(8, 31\), expected \(8, 32\)"):
        from_published(state)


def test_a_foreign_state_is_refused():
    with pytest.raises(ValueError, match="not a HiCo state"):
        from_published({"fc.weight": torch.zeros(2, 2)})
