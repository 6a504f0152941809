"""Checkpoints: whole or not at all, and nothing doubtful is ever scored."""

import hashlib

import pytest
import torch

from moco import ContrastConfig, HiCo, encoder_config
from moco.published import to_published
from tools import checkpoint
from tools.checkpoint import find, fingerprint, load_encoder, read, save_whole

CONFIG = encoder_config(hidden_size=8, granularity=2)


def silent(text):
    """Swallow a report."""


@pytest.fixture
def model():
    torch.manual_seed(0)
    return HiCo(CONFIG, ContrastConfig(projection_size=4, queue_size=8))


@pytest.fixture
def path(model, tmp_path):
    target = tmp_path / "checkpoint_0450.pth.tar"
    save_whole({"epoch": 451, "state_dict": to_published(model)}, target)
    return target


def test_a_failed_write_leaves_the_old_file_and_no_other(path, monkeypatch):
    before = path.read_bytes()

    def break_off(payload, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        save_whole({}, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_either_spelling_of_the_epoch_is_found_and_said(path):
    said = []
    short = path.with_name("checkpoint_450.pth.tar")
    assert find(short, said.append) == path
    assert said == [f"{short} is not there; reading {path}"]
    path.rename(short)
    assert find(path, silent) == short
    assert find(short, said.append) == short
    assert len(said) == 1


def test_a_missing_checkpoint_is_named_with_its_neighbours(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint_1.pth.tar; .* has checkpoint_0450"):
        find(tmp_path / "checkpoint_1.pth.tar", silent)
    with pytest.raises(FileNotFoundError, match="has none; run pretraining.py first"):
        find(tmp_path / "empty" / "model.pth.tar", silent)


def test_a_checkpoint_scores_with_the_encoder_it_holds(path, model):
    loaded, _ = load_encoder(str(path), random_config=encoder_config(), report=silent)
    assert loaded.config == CONFIG
    assert not loaded.training
    assert fingerprint(loaded.query) == fingerprint(model.query)


def test_loading_reads_once_and_says_where_the_encoder_comes_from(path, monkeypatch):
    reads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda file, **how: reads.append(1) or load(file, **how))
    _, source = load_encoder(str(path), report=silent)
    assert len(reads) == 1
    assert source["path"] == str(path)
    assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source["epochs"] == read(path)["epoch"]


def test_heads_and_contrast_come_from_our_extra_entries(tmp_path):
    model = HiCo(
        encoder_config(hidden_size=8, num_heads=2),
        ContrastConfig(4, 8, momentum=0.9, temperature=0.5, queue_wrap="full"),
    )
    optimizer = checkpoint.make_optimizer(model, 0.1, 0.9, 0.0)
    save_whole(checkpoint.pack(model, optimizer, 3), tmp_path / "x.pth.tar")
    loaded, _ = load_encoder(str(tmp_path / "x.pth.tar"), report=silent)
    assert loaded.config == model.config
    assert loaded.contrast == model.contrast


def test_a_random_encoder_is_seeded_labelled_and_leaves_the_global_generator_alone():
    said = []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (
        load_encoder("random", random_config=CONFIG, seed=seed, report=said.append)[0]
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert fingerprint(one.query) == fingerprint(again.query) != fingerprint(other.query)
    assert said[0].startswith("RANDOM encoder, not pre-trained: Transformer, hidden size 8")


def test_truncated_foreign_and_harmful_files_are_refused(path, tmp_path):
    half = tmp_path / "half.pth.tar"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = tmp_path / "text.pth.tar"
    text.write_text("not a checkpoint")
    harmful = tmp_path / "harmful.pth.tar"
    torch.save({"state_dict": {"a": silent}}, harmful)
    for file in (half, text, harmful):
        with pytest.raises(ValueError, match=f"{file.name} is not a readable checkpoint"):
            read(file)


@pytest.mark.parametrize("payload", [[1, 2], {"model": {}}, {"state_dict": {"a": 1}}])
def test_a_file_without_a_state_is_refused(tmp_path, payload):
    save_whole(payload, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match="x.pth.tar holds no state_dict"):
        read(tmp_path / "x.pth.tar")


def test_wrong_keys_and_shapes_are_an_error_never_a_score(model, tmp_path):
    good = to_published(model)
    missing = {name: x for name, x in good.items() if name != "encoder_q.clip_proj.0.bias"}
    wrong = good | {"encoder_q.clip_proj.0.bias": torch.zeros(9)}
    for state, message in ((missing, "missing encoder_q.clip_proj.0.bias"), (wrong, r"\(9,\)")):
        save_whole({"state_dict": state}, tmp_path / "x.pth.tar")
        with pytest.raises(ValueError, match=rf"x.pth.tar does not fit: .*{message}"):
            load_encoder(str(tmp_path / "x.pth.tar"), report=silent)


def test_weights_that_are_not_finite_are_refused(model, tmp_path):
    state = to_published(model)
    state["encoder_q.clip_proj.0.bias"] = torch.full((8,), float("nan"))
    torch.save({"state_dict": state}, tmp_path / "x.pth.tar")  # we ourselves never write such
    with pytest.raises(ValueError, match=r"encoder_q.clip_proj.0.bias is not finite"):
        load_encoder(str(tmp_path / "x.pth.tar"), report=silent)


def test_an_optimiser_of_another_model_is_refused(model, tmp_path):
    optimizer = checkpoint.make_optimizer(model, 0.1, 0.9, 0.0)
    for payload in ({}, {"optimizer": {"state": {0: {"momentum_buffer": torch.zeros(1)}}}}):
        with pytest.raises(ValueError, match="holds no optimiser of this model"):
            checkpoint.restore_optimizer(optimizer, payload, tmp_path / "x.pth.tar")


def test_a_fingerprint_sees_the_smallest_change(model):
    before = fingerprint(model.query)
    weight = model.query.heads.clip[0].weight
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert fingerprint(model.query) != before
