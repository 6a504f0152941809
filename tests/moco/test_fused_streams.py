"""One encoder of three streams: its embedding plainly, and whole runs of it."""

import json

import numpy as np
import pytest
import torch

import action_classification
import action_retrieval
import pretraining
from hubconf import hico
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.encoders.hierarchical import HierarchicalEncoder
from moco.published import holds
from tests.training.test_pretraining import arguments, losses
from tools import checkpoint, features, predict
from tools.checkpoint import load_encoder, read
from tools.report import __main__ as report
from tools.training.memory import bytes_of_a_clip
from tools.training.trainer import LAST

FUSED = "joint+motion+bone"
GIVEN = ("--skeleton-representation", FUSED, "--granularity", "3")
STREAM = "--finetune-skeleton-representation"
EVALUATION = ("--device", "cpu", "--seed", "1")
QUICK = ("--epochs", "2", "--schedule", "1")


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Uninterrupted runs of three streams, and of one."""
    folders = {}
    for stream in (FUSED, "joint"):
        folders[stream] = tmp_path_factory.mktemp("run")
        given = ("--skeleton-representation", stream, "--granularity", "3")
        more = (*given, "--epochs", "3", "--seed", "3")
        pretraining.main(arguments(data, folders[stream], *more))
    return folders


def silent(text):
    """Swallow a report."""


def plain_embedding(tokens, state):
    """Three embeddings, their mean, one matrix: NumPy, token by token."""
    result = []
    for token in tokens.reshape(-1, tokens.shape[-1]):
        embedded = []
        for number, part in enumerate(np.split(token, 3)):
            weight = {
                name: state[f"streams.{number}.{name}"].numpy()
                for name in ("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias")
            }
            hidden = weight["0.weight"] @ part + weight["0.bias"]
            hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
            hidden = np.maximum(hidden * weight["1.weight"] + weight["1.bias"], 0)
            embedded.append(weight["3.weight"] @ hidden + weight["3.bias"])
        result.append(state["mix.weight"].numpy() @ (sum(embedded) / 3))
    return np.array(result).reshape(*tokens.shape[:-1], -1)


@pytest.mark.parametrize("branch", ["time", "space"])
def test_the_fused_embedding_is_the_plain_one(branch):
    torch.manual_seed(0)
    encoder = HierarchicalEncoder(encoder_config("GRU", hidden_size=8, streams=3))
    part = getattr(encoder, branch).embedding
    for parameter in part.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    tokens = torch.randn(2, 5, 3 * {"time": 150, "space": 192}[branch])
    expected = plain_embedding(tokens.numpy(), part.state_dict())
    np.testing.assert_allclose(part(tokens).detach().numpy(), expected, atol=1e-4)


def test_what_follows_the_embedding_is_as_of_one_stream():
    torch.manual_seed(0)
    fused, alone = (
        HierarchicalEncoder(encoder_config(hidden_size=8, streams=streams)) for streams in (3, 1)
    )
    rest = [
        {name for name in each.state_dict() if ".embedding." not in name} for each in (fused, alone)
    ]
    assert rest[0] == rest[1]
    features = fused(Views(torch.randn(2, 64, 450), torch.randn(2, 50, 576)))
    assert features.clip.shape == features.part.shape == (2, 4, 8)
    depths = {fused.depth_of(name) for name in fused.state_dict() if ".embedding." in name}
    assert depths == {0}


def test_one_stream_draws_and_names_what_it_always_has():
    names = set(HierarchicalEncoder(encoder_config(hidden_size=8)).state_dict())
    assert {name for name in names if name.startswith("time.embedding")} == {
        f"time.embedding.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")
    }


def test_each_matrix_of_the_fused_embedding_starts_as_xavier_says():
    torch.manual_seed(0)
    model = HiCo(encoder_config(hidden_size=64, streams=3), ContrastConfig(8, 16))
    matrices = [p for p in model.query.encoder.time.embedding.parameters() if p.dim() == 2]
    assert len(matrices) == 7
    for matrix in matrices:
        bound = (6 / sum(matrix.shape)) ** 0.5
        assert 0.98 * bound < matrix.abs().max() <= bound
    assert not holds(model)


def test_it_resumes_to_the_last_bit(data, runs, tmp_path):
    pretraining.main(arguments(data, tmp_path, *GIVEN, "--epochs", "2", "--seed", "3"))
    more = ("--epochs", "3", "--resume", str(tmp_path / LAST))
    pretraining.main(arguments(data, tmp_path, *GIVEN, *more))
    assert losses(tmp_path) == losses(runs[FUSED])
    ours, theirs = (read(folder / LAST)["state_dict"] for folder in (tmp_path, runs[FUSED]))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_its_neighbours_are_watched(data, tmp_path):
    more = ("--epochs", "1", "--seed", "3", "--knn-every", "1")
    pretraining.main(arguments(data, tmp_path, *GIVEN, *more))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any("knn" in name for row in rows for name in row)


def test_its_checkpoint_lies_in_our_own_layout_and_says_its_streams(runs):
    payload = read(runs[FUSED] / LAST)
    assert (payload["layout"], payload["config"]["streams"]) == ("own", 3)
    assert payload["data"]["stream"] == FUSED
    model, _ = load_encoder(str(runs[FUSED] / LAST), report=silent)
    assert model.config.streams == 3
    assert "3 streams fused" in model.config.described
    settings = json.loads((runs[FUSED] / "config.json").read_text())
    assert '"streams": 3' in json.dumps(settings)


def test_a_checkpoint_that_does_not_say_its_streams_reads_one(data, runs, tmp_path):
    payload = read(runs["joint"] / LAST)
    assert payload["layout"] == "published"
    del payload["config"]["streams"]
    checkpoint.save_whole(payload, tmp_path / LAST)
    assert load_encoder(str(tmp_path / LAST), report=silent)[0].config.streams == 1
    more = ("--granularity", "3", "--epochs", "4", "--resume", str(tmp_path / LAST))
    pretraining.main(arguments(data, tmp_path / "on", *more))


EVALUATIONS = {
    "linear": (action_classification, QUICK),
    "finetune": (action_classification, ("--mode", "finetune", *QUICK, "--layer-decay", "0.5")),
    "supervised": (action_classification, ("--mode", "supervised", *QUICK)),
    "retrieval": (action_retrieval, ()),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_it_is_scored(data, runs, tmp_path, name):
    script, given = EVALUATIONS[name]
    argv = ["--data-path", str(data), *EVALUATION, *given, STREAM, FUSED]
    random = ("--pretrained", "random", "--hidden-size", "8")
    which = random if name == "supervised" else ("--pretrained", str(runs[FUSED] / LAST))
    script.main([*argv, *which, "--output-path", str(tmp_path)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["stream"], results["encoder"]["streams"]) == (FUSED, 3)


def refused(capsys, main, argv):
    """Its one line on stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(("trained", "scored"), [(FUSED, "bone"), ("joint", FUSED)])
def test_an_encoder_of_other_streams_is_refused_in_one_line(
    data, runs, tmp_path, capsys, trained, scored
):
    path = str(runs[trained] / LAST)
    said = f"{LAST} does not fit the stream {scored}: it reads {3 if trained == FUSED else 1} at"
    common = ["--data-path", str(data), "--pretrained", path, STREAM, scored, "--device", "cpu"]
    assert said in refused(capsys, action_retrieval.main, common)
    assert said in refused(capsys, action_classification.main, common)
    out = ["--output", str(tmp_path / "f.npz")]
    assert said in refused(capsys, features.main, [*common, *out])
    page = [str(runs[trained]), "--data-path", str(data), "--stream", scored, "--device", "cpu"]
    out = ["--output", str(tmp_path / "page.html")]
    assert said in refused(capsys, report.main, [*page, *out])
    with pytest.raises(ValueError, match="does not fit the stream"):
        hico(path, scored, "cpu")
    resumed = ("--granularity", "3", "--resume", path, "--skeleton-representation", scored)
    argv = arguments(data, tmp_path / "other", *resumed, "--epochs", "4")
    assert "was trained with" in refused(capsys, pretraining.main, argv)


def test_hub_features_and_predictions_take_it(data, runs, tmp_path, capsys):
    path = runs[FUSED] / LAST
    clip = np.random.default_rng(0).standard_normal((30, 25, 3)).astype(np.float32)
    assert hico(path, device="cpu").embed(clip).shape == (2 * 3 * 8,)
    assert hico("random", FUSED, "cpu").stream == FUSED
    common = ["--data-path", str(data), *EVALUATION, STREAM, FUSED, "--pretrained", str(path)]
    features.main([*common, "--output", str(tmp_path / "f.npz")])
    with np.load(tmp_path / "f.npz", allow_pickle=False) as saved:
        assert saved["train_instance"].shape == (14, 2 * 3 * 8)
    action_classification.main([*common, *QUICK, "--output-path", str(tmp_path / "probe")])
    np.save(tmp_path / "clip.npy", clip)
    classifier = next((tmp_path / "probe").glob(f"{FUSED}*_model_best.pth.tar"))
    capsys.readouterr()
    found = [str(tmp_path / "clip.npy"), "--classifier", str(classifier), "--device", "cpu"]
    predict.main([*found, "--pretrained", str(path)])
    assert "clip.npy" in capsys.readouterr().out


def test_a_report_shows_it_with_its_views(data, runs, tmp_path):
    page = tmp_path / "page.html"
    size = ("--knn-clips", "14", "6", "--queries", "4", "--map-clips", "6", "--frames", "8")
    where = ["--data-path", str(data), "--device", "cpu", "--output", str(page)]
    report.main([str(runs[FUSED]), *where, *size])
    assert FUSED in page.read_text(encoding="utf-8")


def test_a_full_device_is_told_of_all_streams():
    one, three = (encoder_config(hidden_size=8, streams=streams) for streams in (1, 3))
    assert bytes_of_a_clip(three, "fp32") > 1.2 * bytes_of_a_clip(one, "fp32")
