"""Options: the published commands run verbatim, faults are one line, help needs no torch."""

import ast
import dataclasses
import itertools
import re
import shlex
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from dataset import protocols
from moco import config
from moco.config import encoder_config
from options import classification, pretraining, retrieval
from options.parser import as_plain
from options.recipes import RECIPES
from tests.support.imported import ROOT, imported_by

MODULES = {"pretraining": pretraining, "classification": classification, "retrieval": retrieval}
NEEDED = {"pretraining": [], "classification": ["--pretrained", "x"]} | {
    "retrieval": ["--pretrained", "x"]
}

PUBLISHED_PRETRAINING = """
  --lr 0.01 --batch-size 64 --hico-t 0.2 --hico-k 2048
  --checkpoint-path ./checkpoints/ntu60_xview_joint
  --schedule 351 --epochs 451 --pre-dataset ntu60 --protocol cross_view
  --skeleton-representation joint
"""
PUBLISHED_CLASSIFICATION = """
  --lr 2 --batch-size 1024 --pretrained ./checkpoints/ntu60_xview_joint/checkpoint_450.pth.tar
  --finetune-dataset ntu60 --protocol cross_view --finetune_skeleton_representation joint
"""
PUBLISHED_RETRIEVAL = """
  --knn-neighbours 1 --pretrained ./checkpoints/ntu60_xview_joint/checkpoint_0450.pth.tar
  --finetune-dataset ntu60 --protocol cross_view --finetune-skeleton-representation joint
"""

# options before it, the option, a value that is not the default, field, what it parses to
DATA = [
    ("--protocol", "cross_subject", "data.protocol", "cross_subject"),
    ("--data-path", "/d_a-ta", "data.data_path", Path("/d_a-ta")),
    ("--origin", "any", "data.origin", "any"),
]
RUN = [
    ("-j", "3", "run.workers", 3),
    ("--workers", "3", "run.workers", 3),
    ("-p", "7", "run.print_freq", 7),
    ("--print-freq", "7", "run.print_freq", 7),
    ("--seed", "5", "run.seed", 5),
    ("--device", "cuda:1", "run.device", "cuda:1"),
]
SGD = [
    ("--epochs", "90", "training.epochs", 90),
    ("--start-epoch", "4", "training.start_epoch", 4),
    ("--lr", "0.5", "training.lr", 0.5),
    ("--learning-rate", "0.5", "training.lr", 0.5),
    ("--schedule", "3 9", "training.schedule", (3, 9)),
    ("--momentum", "0.8", "training.momentum", 0.8),
    ("--wd", "0.2", "training.weight_decay", 0.2),
    ("--weight-decay", "0.2", "training.weight_decay", 0.2),
    ("-b", "32", "training.batch_size", 32),
    ("--batch-size", "32", "training.batch_size", 32),
]
EVALUATION = [
    ("--protocol cross_subject --finetune-dataset", "ntu120", "data.dataset", "ntu120"),
    ("--finetune-skeleton-representation", "bone", "data.stream", "bone"),
    ("--pretrained", "some_where.tar", "pretrained", "some_where.tar"),
    ("--pretrained random --encoder", "GRU", "random_encoder.config.kind", "GRU"),
    ("--pretrained random --hidden-size", "256", "random_encoder.config.hidden_size", 256),
    ("--pretrained random --num-heads", "8", "random_encoder.config.num_heads", 8),
    ("--pretrained random --num-layers", "2", "random_encoder.config.num_layers", 2),
    ("--pretrained random --granularity", "3", "random_encoder.config.granularity", 3),
]
BY_SCRIPT = {
    "pretraining": [
        *DATA,
        *RUN,
        *SGD,
        ("--protocol cross_subject --pre-dataset", "ntu120", "data.dataset", "ntu120"),
        ("--skeleton-representation", "motion", "data.stream", "motion"),
        ("--augmentation", "toy", "data.augmentation", "toy"),
        ("--resume", "a_b.pth.tar", "checkpoints.resume", "a_b.pth.tar"),
        ("--checkpoint-path", "./my_run", "checkpoints.folder", Path("./my_run")),
        ("--save-freq", "10", "checkpoints.save_freq", 10),
        ("--resume auto --change", "lr", "checkpoints.change", ("lr",)),
        ("--resume auto --change", "wd epochs", "checkpoints.change", ("weight-decay", "epochs")),
        ("--overwrite", "", "checkpoints.overwrite", True),
        ("--hico-dim", "64", "contrast.projection_size", 64),
        ("--hico-k", "16384", "contrast.queue_size", 16384),
        ("--hico-m", "0.99", "contrast.momentum", 0.99),
        ("--hico-t", "0.07", "contrast.temperature", 0.07),
        ("--queue-wrap", "full", "contrast.queue_wrap", "full"),
        ("--positives", "neighbours", "contrast.positives", "neighbours"),
        ("--neighbours-from", "5", "contrast.neighbours_from", 5),
        ("--neighbour-levels", "all", "contrast.neighbour_levels", "all"),
        ("--cos", "", "training.cos", True),
        ("--encoder", "GRU", "encoder.kind", "GRU"),
        ("--hidden-size", "256", "encoder.hidden_size", 256),
        ("--num-heads", "8", "encoder.num_heads", 8),
        ("--num-layers", "2", "encoder.num_layers", 2),
        ("--granularity", "3", "encoder.granularity", 3),
        ("--precision", "bf16", "speed.precision", "bf16"),
        ("--graph", "off", "speed.graph", "off"),
        ("--knn-every", "5", "watch.knn_every", 5),
        ("--knn-clips", "50 20", "watch.knn_clips", (50, 20)),
        ("--print-seconds", "1.5", "watch.print_seconds", 1.5),
        ("--recipe", "small", "recipe", "small"),
    ],
    "classification": [
        *DATA,
        *RUN,
        *SGD,
        *EVALUATION,
        ("--resume", "a_b.pth.tar", "training.resume", "a_b.pth.tar"),
        ("--probe-crop", "random", "training.crop", "random"),
        ("--crop", "random", "training.crop", "random"),
        ("--mode", "finetune", "mode", "finetune"),
        ("--label-fraction", "0.01", "labels.fraction", 0.01),
        ("--subset", "stratified", "labels.subset", "stratified"),
        ("--runs", "5", "labels.runs", 5),
        ("--output-path", "./my_run", "output_path", Path("./my_run")),
        ("--overwrite", "", "overwrite", True),
        ("--mode finetune --optimizer", "adamw", "finetuning.optimizer", "adamw"),
        ("--mode finetune --encoder-lr", "0.1", "finetuning.encoder_lr", 0.1),
        ("--mode finetune --head-lr", "0.1", "finetuning.head_lr", 0.1),
        ("--mode finetune --layer-decay", "0.8", "finetuning.layer_decay", 0.8),
        ("--mode finetune --encoder-mode", "eval", "finetuning.encoder_mode", "eval"),
        ("--mode finetune --cos", "", "training.cos", True),
    ],
    "retrieval": [
        *DATA,
        *RUN,
        *EVALUATION,
        ("-b", "32", "search.batch_size", 32),
        ("--batch-size", "32", "search.batch_size", 32),
        ("--knn-neighbours", "5", "search.neighbours", (5,)),
        ("--knn-neighbours", "20 1 5 5", "search.neighbours", (1, 5, 20)),
        ("--gallery", "a_b.txt", "search.gallery", "a_b.txt"),
        ("--query", "a_b.txt", "search.query", "a_b.txt"),
        ("--query-file", "a_b.skeleton", "search.query_file", Path("a_b.skeleton")),
        ("--query-file c --joints", "smpl24", "reading.joints", "smpl24"),
        ("--query-file c --unit", "mm", "reading.unit", "mm"),
        ("--query-file c --cut", "head", "reading.cut", "head"),
        ("--output-path", "./my_run", "output_path", Path("./my_run")),
        ("--overwrite", "", "overwrite", True),
        ("--save-features", "a_b.npz", "search.save_features", Path("a_b.npz")),
    ],
}
EVERY_OPTION = [(name, *row) for name, rows in BY_SCRIPT.items() for row in rows]
BRINGS_MORE = {"mode", "finetuning.optimizer", "encoder.kind", "search.query_file"} | {
    "random_encoder.config.kind",
    "recipe",
}
"""Fields on which defaults of others depend."""


@pytest.fixture(autouse=True)
def a_second_augmentation(monkeypatch):
    monkeypatch.setitem(protocols.AUGMENTATIONS, "toy", "nowhere:TOY")


def parse(script, text):
    return MODULES[script].parser().parse([*NEEDED[script], *shlex.split(text)])


def fault(script, text, capsys, needed=True):
    with pytest.raises(SystemExit) as stopped:
        MODULES[script].parser().parse((NEEDED[script] if needed else []) + shlex.split(text))
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.strip()


def test_published_pretraining_command_is_the_default_apart_from_its_folder():
    given = pretraining.parser().parse(shlex.split(PUBLISHED_PRETRAINING))
    kept = pretraining.CheckpointOptions(Path("./checkpoints/ntu60_xview_joint"))
    assert given == pretraining.PretrainingOptions(checkpoints=kept)


def test_published_classification_command_is_the_default_apart_from_its_checkpoint():
    given = classification.parser().parse(shlex.split(PUBLISHED_CLASSIFICATION))
    assert given == classification.parser().parse(["--pretrained", given.pretrained])
    assert given.pretrained == "./checkpoints/ntu60_xview_joint/checkpoint_450.pth.tar"


def test_published_retrieval_command_is_the_default_apart_from_its_checkpoint():
    given = retrieval.parser().parse(shlex.split(PUBLISHED_RETRIEVAL))
    assert given == retrieval.parser().parse(["--pretrained", given.pretrained])


PUBLISHED_RUN = {
    "recipe": None,
    "data": {
        "dataset": "ntu60",
        "protocol": "cross_view",
        "stream": "joint",
        "data_path": "data",
        "origin": "published",
        "augmentation": "hico",
    },
    "encoder": {
        "kind": "Transformer",
        "hidden_size": 512,
        "num_heads": 4,
        "num_layers": 1,
        "granularity": 4,
        "time_features": 150,
        "space_features": 192,
        "dropout": 0.1,
    },
    "contrast": {
        "projection_size": 128,
        "queue_size": 2048,
        "momentum": 0.999,
        "temperature": 0.2,
        "queue_wrap": "published",
        "positives": "own",
        "neighbours_from": 0,
        "neighbour_levels": "instance",
    },
    "training": {
        "epochs": 451,
        "start_epoch": 0,
        "batch_size": 64,
        "lr": 0.01,
        "schedule": [351],
        "cos": False,
        "momentum": 0.9,
        "weight_decay": 1e-4,
    },
    "checkpoints": {
        "folder": "checkpoints",
        "save_freq": 50,
        "resume": "",
        "change": [],
        "overwrite": False,
    },
    "speed": {"precision": "fp32", "graph": "auto"},
    "watch": {"knn_every": 0, "knn_clips": [4000, 2000], "print_seconds": 30.0},
    "run": {"device": "auto", "seed": None, "print_freq": 10, "workers": None},
}


def test_pretraining_defaults_are_the_published_run():
    assert pretraining.parser().parse([]) == pretraining.PretrainingOptions()
    assert as_plain(pretraining.parser().parse([])) == PUBLISHED_RUN


def lengths(given, tmp_path, clips):
    """Batch size, keys, epochs and schedule of a command line on so many training clips."""
    folder = tmp_path / "NTU-RGB-D-60-AGCN" / "xview"
    folder.mkdir(parents=True, exist_ok=True)
    head = np.lib.format.open_memmap(
        folder / "train_data_joint.npy", "w+", np.float32, (clips, 3, 1, 1, 1)
    )
    del head
    options = pretraining.parser().parse(["--data-path", str(tmp_path), *given.split()])
    training = options.training
    return training.batch_size, options.contrast.queue_size, training.epochs, training.schedule


@pytest.mark.parametrize(
    ("clips", "row"),
    [(100, 0), (300, 0), (301, 1), (600, 1), (601, 2), (3000, 2), (3001, 3), (10000, 3)],
)
def test_a_recipe_is_chosen_by_the_number_of_clips_and_makes_sense_for_it(tmp_path, clips, row):
    batch, keys, epochs, schedule = lengths("--recipe small", tmp_path, clips)
    chosen = RECIPES["small"][row][1]
    assert f" --batch-size {batch} --hico-k {keys} --epochs" in chosen
    assert f"--epochs {epochs} --schedule {schedule[0]}" in chosen
    assert keys < clips
    assert clips // batch > 3
    assert schedule[-1] < epochs


def test_explicit_options_override_a_recipe_even_by_the_published_value(tmp_path):
    given = "--batch-size 32 --recipe small --epochs 451"
    assert lengths(given, tmp_path, 100) == (32, 64, 451, (312,))
    assert lengths("", tmp_path, 100) == (64, 2048, 451, (351,))


def test_the_recipe_beyond_changes_the_contrast_and_nothing_else(tmp_path):
    lengths("", tmp_path, 100)
    where = ["--data-path", str(tmp_path)]
    plain = flat(as_plain(pretraining.parser().parse(where)))
    beyond = flat(as_plain(pretraining.parser().parse(["--recipe", "beyond", *where])))
    changes = {name: value for name, value in beyond.items() if value != plain[name]}
    contrast = {"contrast.momentum": "0.99", "contrast.temperature": "0.1"}
    assert changes == contrast | {"contrast.queue_wrap": "'full'", "recipe": "'beyond'"}


def test_a_recipe_for_clips_that_are_not_there_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        pretraining.parser().parse(["--recipe", "small", "--data-path", str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: no file ")
    path = tmp_path / "NTU-RGB-D-60-AGCN" / "xview" / "train_data_joint.npy"
    path.parent.mkdir(parents=True)
    path.write_text("no array")
    with pytest.raises(SystemExit):
        pretraining.parser().parse(["--recipe", "small", "--data-path", str(tmp_path)])
    assert "is not a whole .npy file" in capsys.readouterr().err


def test_classification_defaults_are_the_published_run():
    options = classification.parser().parse(["--pretrained", "x"])
    assert options == classification.ClassificationOptions(pretrained="x")
    assert as_plain(options.training) == {
        "epochs": 80,
        "start_epoch": 0,
        "batch_size": 1024,
        "lr": 2.0,
        "schedule": [50, 70],
        "cos": False,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "crop": "centre",
        "resume": "",
    }
    data = options.data
    assert (data.dataset, data.protocol, data.stream) == ("ntu60", "cross_view", "joint")
    assert (options.mode, options.labels.fraction, options.labels.runs) == ("linear", 1.0, 1)
    assert options.output_path is None


@pytest.mark.parametrize("text", ["--mode finetune --pretrained x", "--mode supervised"])
def test_training_the_encoder_takes_the_recipe_of_cmd(text):
    options = classification.parser().parse(shlex.split(text))
    training, encoder = options.training, options.finetuning
    assert (training.epochs, training.batch_size, training.lr) == (80, 64, 0.01)
    assert (training.schedule, training.momentum, training.weight_decay) == ((50, 70), 0.9, 0.0)
    assert (training.crop, encoder.optimizer, training.cos) == ("random", "sgd", False)
    assert (encoder.encoder_lr, encoder.head_lr, encoder.layer_decay) == (None, None, 1.0)
    assert encoder.encoder_mode == "train"
    assert options.pretrained == ("x" if "finetune" in text else "random")


def test_adamw_has_a_rate_and_a_decay_of_its_own_that_options_override():
    training = parse("classification", "--mode finetune --optimizer adamw").training
    assert (training.lr, training.weight_decay, training.batch_size) == (3e-4, 0.05, 64)
    given = "--mode finetune --optimizer adamw --lr 0.1 --wd 0 --batch-size 8 --crop centre"
    training = parse("classification", given).training
    assert (training.lr, training.weight_decay, training.batch_size) == (0.1, 0.0, 8)
    assert training.crop == "centre"


def test_supervised_takes_the_shape_of_the_encoder():
    options = classification.parser().parse(["--mode", "supervised", "--encoder", "GRU"])
    assert options.random_encoder.config == encoder_config("GRU")


def test_retrieval_defaults_are_the_published_run():
    options = retrieval.parser().parse(["--pretrained", "x"])
    assert options == retrieval.RetrievalOptions(pretrained="x")
    assert as_plain(options.search) == {
        "neighbours": [1],
        "batch_size": 256,
        "gallery": "train",
        "query": "val",
        "query_file": None,
        "save_features": None,
    }
    assert (options.data.stream, options.output_path) == ("joint", None)


def flat(record):
    """Every field of a record with its dotted name."""
    if not isinstance(record, dict):
        return {"": repr(record)}
    return {
        f"{name}.{inner}".rstrip("."): value
        for name, part in record.items()
        for inner, value in flat(part).items()
    }


@pytest.mark.parametrize(("script", "flag", "value", "field", "expected"), EVERY_OPTION)
def test_every_option_is_read_in_both_spellings(script, flag, value, field, expected, monkeypatch):
    monkeypatch.setattr(pretraining, "count_clips", lambda *_: 1000)  # for a recipe
    before, space, flag = flag.rpartition(" ")
    usual = parse(script, before)
    assert attrgetter(field)(usual) != expected
    for name in {flag, flag[:2] + flag[2:].replace("-", "_")}:
        name = before + space + name
        options = parse(script, f"{name} {value}")
        assert attrgetter(field)(options) == expected
        if value and " " not in value and flag.startswith("--"):
            assert parse(script, f"{name}={value}") == options
    changes = set(flat(as_plain(options)).items() ^ flat(as_plain(usual)).items())
    changed = {name.replace("given", "config") for name, _ in changes}
    assert field in changed
    assert changed == {field} or field in BRINGS_MORE


def test_a_share_may_be_written_as_a_whole_number():
    assert parse("classification", "--label-fraction 1").labels.fraction == 1.0


@pytest.mark.parametrize("script", MODULES)
def test_options_cannot_be_changed_afterwards(script):
    options = parse(script, "")
    for record, name in ((options, "run"), (options.run, "seed"), (options.data, "stream")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, 1)


@pytest.mark.parametrize(
    ("script", "flag"),
    [("pretraining", "--pre-dataset"), ("classification", "--finetune-dataset")]
    + [("retrieval", "--finetune_dataset")],
)
def test_each_data_set_takes_exactly_its_own_protocols(script, flag, capsys):
    published = {
        "ntu60": {"cross_view", "cross_subject"},
        "ntu120": {"cross_subject", "cross_setup"},
        "pku_part1": {"cross_subject"},
        "pku_part2": {"cross_subject"},
        "utd_mhad": {"cross_subject"},
        "ucla": {"cross_view"},
    }
    every = ("cross_view", "cross_subject", "cross_setup")
    for dataset, protocol in itertools.product(published, every):
        text = f"{flag} {dataset} --protocol {protocol}"
        if protocol in published[dataset]:
            options = parse(script, text)
            assert options.data.protocol == protocol
            folder = protocols.DATASETS[dataset].folders[protocol]
            assert options.data.folder == Path("data") / folder
        else:
            assert fault(script, text, capsys).startswith(f"error: --protocol {protocol}: ")


def test_a_protocol_of_another_data_set_is_answered_with_those_that_fit(capsys):
    said = fault("pretraining", "--pre-dataset ntu120 --protocol cross_view", capsys)
    assert said == "error: --protocol cross_view: ntu120 has cross_subject, cross_setup"


NAMES = (
    "ntu60, ntu120, pku_part1, pku_part2, pku_mmd_part1, pku_mmd_part2, utd_mhad, ntu60_frame50, "
    "ntu120_frame50, ucla"
)
FAULTS = [
    ("pretraining", "--pre-dataset ntu61", f"--pre-dataset ntu61: known are {NAMES}"),
    ("retrieval", "--finetune-dataset x", f"--finetune-dataset x: known are {NAMES}"),
    (
        "pretraining",
        "--protocol xlab",
        "--protocol xlab: known are cross_view, cross_subject, cross_setup",
    ),
    (
        "pretraining",
        "--skeleton_representation bones",
        "--skeleton-representation bones: known are joint, motion, bone",
    ),
    ("pretraining", "--encoder grue", "--encoder grue: known are GRU, LSTM, Transformer"),
    (
        "pretraining",
        "--augmentation x",
        "--augmentation x: known are hico, strong, strong-sided, toy",
    ),
    ("pretraining", "--queue-wrap none", "--queue-wrap none: known are published, full"),
    ("classification", "--probe-crop left", "--probe-crop left: known are centre, random"),
    ("pretraining", "--device gpu", "--device gpu: known are auto, cpu, cuda, cuda:N"),
    ("pretraining", "--device cuda:x", "--device cuda:x: known are auto, cpu, cuda, cuda:N"),
    ("pretraining", "-b 0", "--batch-size 0: needs a whole number, 1 or more"),
    ("pretraining", "--batch-size 1.5", "--batch-size 1.5: needs a whole number, 1 or more"),
    ("pretraining", "--epochs none", "--epochs none: needs a whole number, 1 or more"),
    ("pretraining", "--granularity 7", "--granularity 7: needs a whole number, 1 to 6"),
    ("pretraining", "--granularity 0", "--granularity 0: needs a whole number, 1 to 6"),
    ("pretraining", "--num-layers 0", "--num-layers 0: needs a whole number, 1 or more"),
    ("pretraining", "--num-heads 0", "--num-heads 0: needs a whole number, 1 or more"),
    ("pretraining", "--hico-dim 0", "--hico-dim 0: needs a whole number, 1 or more"),
    ("pretraining", "--save-freq 0", "--save-freq 0: needs a whole number, 1 or more"),
    ("pretraining", "--recipe large", "--recipe large: known are beyond, small"),
    ("pretraining", "--knn-every -1", "--knn-every -1: needs a whole number, 0 or more"),
    (
        "pretraining",
        "--knn-clips 1 2 3",
        "--knn-clips 1 2 3: needs two numbers, clips to find and clips to look up",
    ),
    ("pretraining", "--print-seconds -1", "--print-seconds -1: needs a number 0 or more"),
    ("pretraining", "-p 0", "--print-freq 0: needs a whole number, 1 or more"),
    ("pretraining", "-j -1", "--workers -1: needs a whole number, 0 or more"),
    ("pretraining", "--seed -1", "--seed -1: needs a whole number, 0 to 9223372036854775807"),
    (
        "pretraining",
        "--seed 9223372036854775808",
        "--seed 9223372036854775808: needs a whole number, 0 to 9223372036854775807",
    ),
    ("retrieval", "--knn_neighbours 0", "--knn-neighbours 0: needs a whole number, 1 or more"),
    ("pretraining", "--lr 0", "--lr 0: needs a number above 0"),
    ("pretraining", "--learning_rate -1", "--lr -1: needs a number above 0"),
    ("classification", "--lr nan", "--lr nan: needs a number above 0"),
    ("classification", "--lr inf", "--lr inf: needs a number above 0"),
    ("classification", "--wd -0.1", "--wd -0.1: needs a number 0 or more"),
    ("classification", "--wd nan", "--wd nan: needs a number 0 or more"),
    ("classification", "--momentum 1", "--momentum 1: needs a number 0 or more and below 1"),
    ("pretraining", "--hico-m 1", "--hico-m 1: needs a number 0 or more and below 1"),
    ("pretraining", "--hico-t 0", "--hico-t 0: needs a number above 0"),
    ("pretraining", "--hico-t much", "--hico-t much: needs a number above 0"),
    ("pretraining", "--schedule 9 3", "--schedule 9 3: epochs must rise, as in 3 9"),
    ("classification", "--schedule 3 3", "--schedule 3 3: epochs must rise, as in 3"),
    ("classification", "--schedule 0", "--schedule 0: needs a whole number, 1 or more"),
    ("classification", "--start-epoch 80", "--start-epoch 80: --epochs is only 80"),
    ("classification", "--mode semi", "--mode semi: known are linear, finetune, supervised"),
    (
        "classification",
        "--mode supervised",
        "--pretrained x: --mode supervised starts from random weights; leave it out, or choose "
        "--mode finetune",
    ),
    (
        "classification",
        "--mode finetune --pretrained random",
        "--pretrained random: --mode finetune needs a checkpoint; --mode supervised starts from "
        "random weights",
    ),
    ("classification", "--optimizer adam", "--optimizer adam: known are sgd, adamw"),
    ("classification", "--encoder-mode off", "--encoder-mode off: known are train, eval"),
    ("classification", "--subset fair", "--subset fair: known are plain, stratified"),
    ("classification", "--runs 0", "--runs 0: needs a whole number, 1 or more"),
    ("classification", "--encoder-lr 0", "--encoder-lr 0: needs a number above 0"),
    ("classification", "--head-lr 0", "--head-lr 0: needs a number above 0"),
    (
        "classification",
        "--label-fraction 1.1",
        "--label-fraction 1.1: needs a number above 0 and at most 1",
    ),
    (
        "classification",
        "--label-fraction 0",
        "--label-fraction 0: needs a number above 0 and at most 1",
    ),
    (
        "classification",
        "--layer-decay 2",
        "--layer-decay 2: needs a number above 0 and at most 1",
    ),
    (
        "classification",
        "--mode finetune --optimizer adamw --momentum 0.9",
        "--momentum 0.9: adamw has none; leave it out",
    ),
    *(
        (
            "classification",
            given,
            f"{given}: the linear probe leaves the encoder as it is; choose --mode finetune or "
            "supervised",
        )
        for given in (
            *("--optimizer adamw", "--encoder-lr 0.1", "--head-lr 0.1", "--layer-decay 0.5"),
            *("--encoder-mode eval", "--cos"),
        )
    ),
    (
        "pretraining",
        "--hico-k 100",
        "--hico-k 100: must be a multiple of --batch-size 64, as is 64 or 128",
    ),
    (
        "pretraining",
        "--hico-k 32",
        "--hico-k 32: must be a multiple of --batch-size 64, as is 64",
    ),
    (
        "pretraining",
        "--hidden-size 130",
        "--hidden-size 130: must be a multiple of --num-heads 4",
    ),
    (
        "pretraining",
        "--encoder LSTM --hidden-size 33",
        "--hidden-size 33: must be even for LSTM, half for each direction",
    ),
    (
        "retrieval",
        "--pretrained random --num-heads 3",
        "--hidden-size 512: must be a multiple of --num-heads 3",
    ),
    (
        "classification",
        "--hidden-size 128",
        "--hidden-size 128: the encoder comes from the checkpoint; leave it out, "
        "or give --pretrained random",
    ),
    ("retrieval", "--save-features a.npy", "--save-features a.npy: the name must end in .npz"),
    *(
        (
            "retrieval",
            f"--query-file c {given}",
            f"{given}: --query-file only lists the clips nearest to it; leave one out",
        )
        for given in ("--query val", "--save-features a.npz", "--output-path out")
    ),
    ("retrieval", "--unit mm", "--unit mm: only --query-file needs it"),
    ("pretraining", "--data-path ''", "--data-path: is empty; give a path"),
    ("pretraining", "--checkpoint-path ' '", "--checkpoint-path: is empty; give a path"),
    ("pretraining", "--epoch 3", "--epoch: no such option, did you mean --epochs?; see --help"),
    ("pretraining", "--zzz=3", "--zzz=3: no such option; see --help"),
    ("pretraining", "lost", "lost: no such option; see --help"),
    ("pretraining", "--lr", "--lr: needs a value, learning rate at the start"),
    ("pretraining", "--lr '1\n2'", "--lr 1 2: needs a number above 0"),
]


@pytest.mark.parametrize(("script", "text", "said"), FAULTS)
def test_a_fault_is_one_line_that_says_what_would_work(script, text, said, capsys):
    assert fault(script, text, capsys) == f"error: {said}"


@pytest.mark.parametrize("script", ["classification", "retrieval"])
def test_scoring_needs_to_be_told_what_to_score(script, capsys):
    said = "error: --pretrained: needs a checkpoint of pretraining.py, or random"
    assert fault(script, "", capsys, needed=False) == said
    assert fault(script, "--pretrained ''", capsys, needed=False) == said


@pytest.mark.parametrize("script", ["classification", "retrieval"])
def test_a_random_encoder_takes_its_shape_from_options_and_else_the_published_one(script):
    given = shlex.split("--pretrained random --encoder GRU --hidden_size 64")
    options = MODULES[script].parser().parse(given)
    assert options.random_encoder.config == encoder_config("GRU", hidden_size=64)
    bare = MODULES[script].parser().parse(["--pretrained", "random"])
    assert bare.random_encoder.config == pretraining.parser().parse([]).encoder == encoder_config()


@pytest.mark.parametrize("script", ["classification", "retrieval"])
def test_not_giving_an_encoder_option_is_not_giving_its_default(script):
    assert parse(script, "").random_encoder.given == {}
    given = parse(script, "--pretrained random --num-layers 1").random_encoder.given
    assert given == {"num_layers": 1}


@dataclasses.dataclass(frozen=True)
class ToyConfig(config.EncoderConfig):
    """A kind of encoder with a size of its own, and another default of a common one."""

    hidden_size: int = config.setting(48, "features of a branch at each level", at_least=1)
    width: int = config.setting(3, "frames that a convolution sees", at_least=1)


def test_a_further_kind_of_encoder_brings_options_and_leaves_the_others_alone(monkeypatch, capsys):
    before = pretraining.parser().parse([])
    monkeypatch.setitem(config.ENCODERS, "Toy", config.EncoderKind(ToyConfig, "nowhere:Toy"))
    assert pretraining.parser().parse([]) == before
    read = pretraining.parser().parse
    assert read(["--encoder", "toy"]).encoder == ToyConfig("Toy", hidden_size=48)
    wide = read(["--encoder", "Toy", "--width", "5", "--hidden-size", "7"]).encoder
    assert wide == ToyConfig("Toy", hidden_size=7, width=5)
    with pytest.raises(SystemExit):
        pretraining.parser().parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "frames that a convolution sees (default: 3)" in shown
    assert "(default: GRU 512, LSTM 512, Transformer 512, Toy 48)" in shown


def test_an_empty_schedule_keeps_the_rate():
    assert pretraining.parser().parse(["--schedule", "--epochs", "3"]).training.schedule == ()


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("--encoder gru", "encoder.kind", "GRU"),
        ("--encoder TRANSFORMER", "encoder.kind", "Transformer"),
        ("--pre-dataset NTU60", "data.dataset", "ntu60"),
        ("--skeleton-representation Bone", "data.stream", "bone"),
        ("--protocol xsub", "data.protocol", "cross_subject"),
        ("--protocol XView", "data.protocol", "cross_view"),
        ("--protocol Cross_Subject", "data.protocol", "cross_subject"),
        ("--pre-dataset ntu120 --protocol xset", "data.protocol", "cross_setup"),
        ("--pre-dataset NTU120 --protocol xsetup", "data.protocol", "cross_setup"),
    ],
)
def test_names_are_read_in_any_case_and_protocols_as_the_field_calls_them(text, field, expected):
    assert attrgetter(field)(parse("pretraining", text)) == expected


def test_a_protocol_by_another_word_is_refused_by_the_data_set_that_lacks_it(capsys):
    said = fault("pretraining", "--pre-dataset ntu120 --protocol xview", capsys)
    assert said == "error: --protocol xview: ntu120 has cross_subject, cross_setup"


def flags_shown(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        MODULES[script].parser().parse(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    return shown, [line for line in shown.splitlines() if line.startswith("  -")]


@pytest.mark.parametrize("script", MODULES)
def test_help_names_every_option_with_its_default(script, capsys):
    shown, lines = flags_shown(script, capsys)
    for name, flag, *_ in EVERY_OPTION:
        if name == script:
            assert flag.split()[-1] in shown
    assert "(default: None)" not in shown
    without_default = {"-h, --help", "--cos", "--overwrite"}
    assert shown.count("(default:") == len(lines) - len(
        [line for line in lines if any(bare in line for bare in without_default)]
    )


@pytest.mark.parametrize("script", MODULES)
def test_every_option_that_help_names_is_tested_here(script, capsys):
    _, lines = flags_shown(script, capsys)
    shown = {flag for line in lines for flag in re.findall(r"(?:^  |, )(--?[a-z-]+)", line)}
    assert shown - {"-h", "--help"} == {
        flag.split()[-1] for name, flag, *_ in EVERY_OPTION if name == script
    }


COMMANDS = ["predict", "features", "ensemble", "compare", "reproduce", "benchmark", "prepare"]


@pytest.mark.parametrize("script", MODULES)
def test_help_imports_little_beside_the_standard_library(script):
    code = f"from options.{script} import parser\nparser().parse(['--help'])"
    _, foreign, count = imported_by(code)
    assert foreign == []
    assert count < 100


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_tool_imports_no_package(command):
    program = (
        f"import runpy, sys\nsys.argv = ['tool', '--help']\n"
        f"runpy.run_module('tools.{command}', run_name='__main__', alter_sys=True)"
    )
    shown, foreign, _ = imported_by(program)
    assert shown
    assert foreign == []


def declared_flags():
    """The flags of every call of `option`, read off the code of options and tools."""
    for path in (*ROOT.glob("options/*.py"), *ROOT.glob("tools/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.value if isinstance(node, ast.AnnAssign | ast.Return) else None
            if not isinstance(call, ast.Call) or ast.unparse(call.func) != "option":
                continue
            given = [word.value for word in call.args[1:] if isinstance(word, ast.Constant)]
            if not given and isinstance(node, ast.AnnAssign):
                given = ["--" + node.target.id.replace("_", "-")]
            yield from given


def test_no_option_is_declared_twice():
    found = list(declared_flags())
    settings = [
        (each.metadata["setting"].flag or "--" + each.name.replace("_", "-"), each.metadata)
        for record in (config.ContrastConfig, *(kind.config for kind in config.ENCODERS.values()))
        for each in dataclasses.fields(record)
        if "setting" in each.metadata
    ]
    of_model = {flag for flag, _ in settings}
    for flag in of_model:  # kinds of encoder share some, which must then mean the same
        meanings = [metadata for name, metadata in settings if name == flag]
        assert all(meaning == meanings[0] for meaning in meanings), flag
    flags = [*found, *of_model]
    assert len(found) > 30
    twice = {flag for flag in flags if flags.count(flag) > 1}
    assert twice == {"--json"}  # a file of tools.benchmark, a switch of tools.predict
