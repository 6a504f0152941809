"""The oracles answer as the published code did, golden by golden."""

import copy
import json

import numpy as np
import pytest
import torch

from tests.oracles import augment, probe
from tests.oracles.model import PREFIXES, PlainHiCo, plain_losses
from tests.oracles.step import plain_optimizer, plain_step
from tests.support.paths import GOLDENS

MODELS = ("gru", "gru_2layer_g3", "lstm", "transformer", "transformer_2layer_g2")
KINDS = ("GRU", "LSTM", "Transformer")
INPUTS = ("query_time", "query_space", "key_time", "key_space")
CLOSE = {"rtol": 0, "atol": 1e-5}
AFTER_TEN_STEPS = {"rtol": 0, "atol": 1e-4}


class Golden:
    """One model golden: arrays as tensors, the published state in a PlainHiCo, the inputs."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDENS / f"model_{name}.npz") as arrays:
            self.meta = json.loads(str(arrays["meta"]))
            self.tensors = {k: torch.from_numpy(arrays[k]) for k in arrays.files if k != "meta"}
        scaled = {k: self.tensors[f"input/{k}"].float() * self.meta["input_scale"] for k in INPUTS}
        self.query = (scaled["query_time"], scaled["query_space"])
        self.key = (scaled["key_time"], scaled["key_space"])

    def below(self, prefix: str) -> dict[str, torch.Tensor]:
        return {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}

    def model(self) -> PlainHiCo:
        meta, encoder = self.meta, self.meta["encoder_args"]
        model = PlainHiCo(
            encoder["encoder"],
            encoder["hidden_size"],
            encoder["num_head"],
            encoder["num_layer"],
            encoder["granularity"],
            projection_size=meta["dim"],
            queue_size=meta["queue_size"],
            momentum=meta["momentum"],
            temperature=meta["temperature"],
        )
        state = self.below("init/")
        copies = {k.replace("_q.", "_k.", 1): v for k, v in state.items() if "encoder_q." in k}
        model.load_state_dict({k: v.clone() for k, v in (state | copies).items()})
        return model.eval()


@pytest.fixture(params=MODELS)
def golden(request):
    return Golden(request.param)


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "augment.npz") as stored:
        result = dict(stored)
    result["clips"] = (result["clips"] * result["clip_scale"]).astype(np.float32)
    return result


def assert_close(actual, expected, **tolerance):
    torch.testing.assert_close(
        torch.as_tensor(actual), torch.as_tensor(expected), check_dtype=False, **tolerance
    )


def test_features_and_projections_are_the_published_ones(golden):
    network = golden.model().encoder_q
    with torch.no_grad():
        clip, part = network.hi_encoder(golden.query)
        projections, features = network(golden.query), network.features(golden.query)
    expected = golden.below("eval/")
    assert_close(clip, expected.pop("clip_features"), **CLOSE)
    assert_close(part, expected.pop("part_features"), **CLOSE)
    assert_close(features, expected.pop("instance_features"), **CLOSE)
    assert {f"projection_{name}" for name in projections} == set(expected)
    for name, projection in projections.items():
        assert_close(projection, expected[f"projection_{name}"], **CLOSE)


def test_first_logits_losses_and_gradients_are_the_published_ones(golden):
    model = golden.model()
    logits = model(golden.query, golden.key)
    losses = plain_losses(logits, model.granularity)
    losses["total"].backward()
    for name, expected in golden.below("step0/logits_").items():
        assert_close(logits[name].detach(), expected, **CLOSE)
    assert_close([v.item() for v in losses.values()], golden.tensors["steps/losses"][0], **CLOSE)
    gradients = golden.below("step0/grad/")
    found = {n: p.grad for n, p in model.encoder_q.named_parameters()}
    assert found.keys() == gradients.keys()
    for name, expected in gradients.items():
        assert_close(found[name], expected, **CLOSE)
    assert all(p.grad is None for p in model.encoder_k.parameters())


def test_ten_steps_end_where_the_published_ones_do(golden):
    meta, model = golden.meta, golden.model()
    optimizer = plain_optimizer(model, meta["lr"], meta["sgd_momentum"], meta["weight_decay"])
    rows = []
    for step in range(meta["steps"]):
        query, key = (tuple(v.roll(step, 0) for v in view) for view in (golden.query, golden.key))
        rows.append(list(plain_step(model, optimizer, query, key).values()))
    assert_close(np.array(rows), golden.tensors["steps/losses"], **AFTER_TEN_STEPS)
    final, state = golden.below("final/"), model.state_dict()
    assert final.keys() == state.keys()
    for name, expected in final.items():
        exact = name.endswith("_ptr")
        assert_close(
            state[name], expected, **({"rtol": 0, "atol": 0} if exact else AFTER_TEN_STEPS)
        )


def test_all_key_names_shapes_and_the_optimiser_order_are_published():
    full = json.loads((GOLDENS / "state_dict_full_size.json").read_text())
    for kind in KINDS:
        with torch.device("meta"):
            model = PlainHiCo(kind)
        shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        assert list(shapes.items()) == list(full[kind]["state_dict"].items())
        order = [name for name, _ in model.named_parameters()]
        assert order == full[kind]["optimizer_param_order"]
        count = sum(p.numel() for p in model.encoder_q.parameters())
        assert count == full[kind]["encoder_q_parameters"]


def test_both_branches_start_from_the_same_transformer_biases():
    model = PlainHiCo("Transformer", 16, queue_size=8, projection_size=4, num_layers=2)
    encoder = model.encoder_q.hi_encoder
    pairs = zip(encoder.t_encoder.parameters(), encoder.s_encoder.parameters(), strict=True)
    for time, space in pairs:
        assert torch.equal(time, space) == (time.dim() == 1)


def test_only_the_first_queue_size_columns_of_clip_and_part_are_ever_refreshed():
    model = PlainHiCo("GRU", 8, queue_size=8, projection_size=4, granularity=4)
    before = copy.deepcopy(model.state_dict())
    for _ in range(5):
        model.enqueue("c", torch.full((2 * 4, 4), 0.5))
        model.enqueue("t", torch.full((2, 4), 0.5))
    assert (model.c_queue[:, :8] == 0.5).all()
    assert torch.equal(model.c_queue[:, 8:], before["c_queue"][:, 8:])
    assert (int(model.c_queue_ptr), int(model.t_queue_ptr)) == (0, 2)
    assert all(torch.equal(getattr(model, f"{p}_queue"), before[f"{p}_queue"]) for p in "psi")
    assert set(PREFIXES) == set("cptsi")


def test_crop_lengths_and_starts_are_the_published_ones(arrays):
    frames = arrays["num_frames"][arrays["crop/clip_index"]]
    draws = zip(frames, arrays["crop/uniform"], strict=True)
    lengths = [augment.crop_length(int(n), float(u)) for n, u in draws]
    assert lengths == arrays["crop/length"].tolist()
    assert (arrays["crop/start"] <= frames - lengths).all()
    assert augment.centre_window(300) == (7, 286)


def test_crops_are_the_published_ones(arrays):
    for row, expected in zip(arrays["crop/output_rows"], arrays["crop/output"], strict=True):
        clip = arrays["clips"][arrays["crop/clip_index"][row]]
        start, length = int(arrays["crop/start"][row]), int(arrays["crop/length"][row])
        assert_close(augment.crop_resize(clip, start, length), expected, **CLOSE)
    rows = zip(arrays["clips"], arrays["num_frames"], arrays["centre/output"], strict=True)
    for clip, frames, expected in rows:
        assert_close(augment.centre_crop(clip, int(frames)), expected, **CLOSE)


def test_shear_and_corruption_are_the_published_ones(arrays):
    for i, clip in enumerate(arrays["crop/output"][:4]):
        joints = arrays["spatial/joints"][i]
        matrix = arrays["spatial/corruption_matrix_row_major"][i].reshape(3, 3)
        sheared = augment.shear(clip, arrays["spatial/shear_draws"][i])
        assert_close(sheared, arrays["spatial/sheared"][i], **CLOSE)
        assert_close(augment.zero_joints(clip, joints), arrays["spatial/zeroed"][i], **CLOSE)
        mixed = augment.mix_joints(clip, joints, matrix)
        assert_close(mixed, arrays["spatial/mixed"][i], **CLOSE)


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_streams_and_layouts_are_the_published_ones(arrays, stream):
    clip = arrays["crop/output"][int(arrays["stream/input_crop_output_index"])]
    result = augment.stream_of(clip, stream)
    time, space = augment.time_major(result), augment.space_major(result)
    assert_close(time, arrays[f"stream/{stream}/time_major"], **CLOSE)
    assert_close(space, arrays[f"stream/{stream}/space_major"], **CLOSE)


def test_a_clip_gives_two_different_views_and_a_seed_gives_them_again(arrays):
    clip = arrays["clips"][0]
    for seed in range(4):
        query, key = augment.two_views(clip, 300, "bone", np.random.default_rng(seed))
        again, _ = augment.two_views(clip, 300, "bone", np.random.default_rng(seed))
        for view in (query, key):
            assert [(part.shape, part.dtype) for part in view] == [
                ((64, 150), np.float32),
                ((50, 192), np.float32),
            ]
        assert not np.array_equal(query[0], key[0])
        assert np.array_equal(query[0], again[0])


def test_both_layouts_hold_the_same_numbers(arrays):
    time, space = augment.centre_view(arrays["clips"][1], int(arrays["num_frames"][1]), "motion")
    assert np.array_equal(
        time.reshape(64, 2, 25, 3), space.reshape(2, 25, 64, 3).transpose(2, 0, 1, 3)
    )


def test_the_probe_learns_as_the_published_one_does():
    with np.load(GOLDENS / "linear_probe.npz") as stored:
        arrays = {k: torch.from_numpy(stored[k]) for k in stored.files if k != "meta"}
        meta = json.loads(str(stored["meta"]))
    classifier = torch.nn.Linear(48, 10)
    classifier.load_state_dict({"weight": arrays["init_weight"], "bias": arrays["init_bias"]})
    optimizer = plain_optimizer(classifier, meta["lr"], meta["momentum"], meta["weight_decay"])
    train, test = (lambda i, p=p: arrays[f"{p}_features"][i] for p in ("train", "test"))
    rows = []
    for epoch, order in enumerate(arrays["permutations"]):
        optimizer.param_groups[0]["lr"] = meta["lr"] * 0.1 ** sum(
            epoch >= milestone for milestone in meta["schedule"]
        )
        loss = probe.learn(
            classifier, optimizer, train, arrays["train_labels"], order.tolist(), meta["batch"]
        )
        rows.append((loss, *probe.score(classifier, test, arrays["test_labels"], meta["batch"])))
    expected = torch.stack([arrays[k] for k in ("train_loss", "top1", "top5")], dim=1)
    assert_close(np.array(rows), expected, **CLOSE)
    assert_close(classifier.weight.detach(), arrays["final_weight"], **CLOSE)
    assert_close(classifier.bias.detach(), arrays["final_bias"], **CLOSE)


def test_recomputed_features_are_those_of_the_centre_views(arrays):
    network = PlainHiCo("GRU", 16, queue_size=8, projection_size=4).encoder_q.eval()
    clips, frames = arrays["clips"], arrays["num_frames"]
    found = probe.recomputed(network, clips, frames, "bone")([3, 1])
    for row, i in zip(found, (3, 1), strict=True):
        view = augment.centre_view(clips[i], int(frames[i]), "bone")
        with torch.no_grad():
            expected = network.features(tuple(torch.from_numpy(part)[None] for part in view))
        assert_close(row, expected[0], **CLOSE)
