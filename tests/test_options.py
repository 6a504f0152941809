"""Options: the published commands run verbatim, faults are one line, help needs no torch."""

import dataclasses
import itertools
import shlex
from pathlib import Path

import pytest

from options import classification, groups, pretraining, retrieval
from tests.imported import imported_by

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

# flag, a value that is not the default, field, what it parses to
RUNTIME = [
    ("-j", "3", "workers", 3),
    ("--workers", "3", "workers", 3),
    ("-p", "7", "print_freq", 7),
    ("--print-freq", "7", "print_freq", 7),
    ("--seed", "5", "seed", 5),
    ("--device", "cuda:1", "device", "cuda:1"),
    ("--data-path", "/d_a-ta", "data_path", Path("/d_a-ta")),
]
SGD = [
    ("--epochs", "90", "epochs", 90),
    ("--start-epoch", "4", "start_epoch", 4),
    ("--lr", "0.5", "lr", 0.5),
    ("--learning-rate", "0.5", "lr", 0.5),
    ("--schedule", "3 9", "schedule", (3, 9)),
    ("--momentum", "0.8", "momentum", 0.8),
    ("--wd", "0.2", "weight_decay", 0.2),
    ("--weight-decay", "0.2", "weight_decay", 0.2),
    ("--resume", "a_b.pth.tar", "resume", "a_b.pth.tar"),
]
BATCH = [("-b", "32", "batch_size", 32), ("--batch-size", "32", "batch_size", 32)]
DOWNSTREAM = [
    ("--finetune-dataset", "ntu60", "dataset", "ntu60"),
    ("--protocol", "cross_subject", "protocol", "cross_subject"),
    ("--finetune-skeleton-representation", "bone", "stream", "bone"),
    ("--pretrained", "some_where.tar", "pretrained", "some_where.tar"),
]
EVERY_OPTION = {
    "pretraining": [
        *RUNTIME,
        *SGD,
        *BATCH,
        ("--pre-dataset", "ntu60", "dataset", "ntu60"),
        ("--protocol", "cross_subject", "protocol", "cross_subject"),
        ("--skeleton-representation", "motion", "stream", "motion"),
        ("--checkpoint-path", "./my_run", "checkpoint_path", Path("./my_run")),
        ("--hico-dim", "64", "hico_dim", 64),
        ("--hico-k", "16384", "hico_k", 16384),
        ("--hico-m", "0.99", "hico_m", 0.99),
        ("--hico-t", "0.07", "hico_t", 0.07),
        ("--cos", "", "cos", True),
        ("--encoder", "GRU", "encoder", "GRU"),
        ("--hidden-size", "256", "hidden_size", 256),
        ("--num-heads", "8", "num_heads", 8),
        ("--num-layers", "2", "num_layers", 2),
        ("--granularity", "3", "granularity", 3),
        ("--queue-wrap", "full", "queue_wrap", "full"),
        ("--precision", "bf16", "precision", "bf16"),
        ("--graph", "off", "graph", "off"),
        ("--save-freq", "10", "save_freq", 10),
    ],
    "classification": [
        *RUNTIME,
        *SGD,
        *BATCH,
        *DOWNSTREAM,
        ("--probe-crop", "random", "probe_crop", "random"),
        ("--crop", "random", "probe_crop", "random"),
        ("--mode", "finetune", "mode", "finetune"),
        ("--label-fraction", "0.01", "label_fraction", 0.01),
        ("--label-fraction", "1", "label_fraction", 1.0),
        ("--subset", "stratified", "subset", "stratified"),
        ("--runs", "5", "runs", 5),
        ("--output-path", "./my_run", "output_path", Path("./my_run")),
        ("--mode finetune --optimizer", "adamw", "optimizer", "adamw"),
        ("--mode finetune --encoder-lr", "0.1", "encoder_lr", 0.1),
        ("--mode finetune --head-lr", "0.1", "head_lr", 0.1),
        ("--mode finetune --layer-decay", "0.8", "layer_decay", 0.8),
        ("--mode finetune --encoder-mode", "eval", "encoder_mode", "eval"),
        ("--mode finetune --cos", "", "cos", True),
    ],
    "retrieval": [
        *RUNTIME,
        *BATCH,
        *DOWNSTREAM,
        ("--knn-neighbours", "5", "knn_neighbours", (5,)),
        ("--knn-neighbours", "20 1 5 5", "knn_neighbours", (1, 5, 20)),
        ("--gallery", "a_b.txt", "gallery", "a_b.txt"),
        ("--query", "a_b.txt", "query", "a_b.txt"),
        ("--query-file", "a_b.skeleton", "query_file", Path("a_b.skeleton")),
        ("--output-path", "./my_run", "output_path", Path("./my_run")),
        ("--save-features", "a_b.npz", "save_features", Path("a_b.npz")),
    ],
}
EVERY_OPTION = [(name, *row) for name, rows in EVERY_OPTION.items() for row in rows]


def parse(script, text):
    return MODULES[script].parse([*NEEDED[script], *shlex.split(text)])


def fault(script, text, capsys, needed=True):
    with pytest.raises(SystemExit) as stopped:
        MODULES[script].parse((NEEDED[script] if needed else []) + shlex.split(text))
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.strip()


def test_published_pretraining_command_is_the_default_apart_from_its_folder():
    given = pretraining.parse(shlex.split(PUBLISHED_PRETRAINING))
    folder = Path("./checkpoints/ntu60_xview_joint")
    assert given == dataclasses.replace(pretraining.parse([]), checkpoint_path=folder)


def test_published_classification_command_is_the_default_apart_from_its_checkpoint():
    given = classification.parse(shlex.split(PUBLISHED_CLASSIFICATION))
    assert given == classification.parse(["--pretrained", given.pretrained])
    assert given.pretrained == "./checkpoints/ntu60_xview_joint/checkpoint_450.pth.tar"


def test_published_retrieval_command_is_the_default_apart_from_its_checkpoint():
    given = retrieval.parse(shlex.split(PUBLISHED_RETRIEVAL))
    assert given == retrieval.parse(["--pretrained", given.pretrained])


def test_pretraining_defaults_are_the_published_run():
    assert pretraining.parse([]) == pretraining.PretrainingOptions(
        dataset="ntu60",
        protocol="cross_view",
        stream="joint",
        data_path=Path("data"),
        encoder="Transformer",
        hidden_size=512,
        num_heads=4,
        num_layers=1,
        granularity=4,
        hico_dim=128,
        hico_k=2048,
        hico_m=0.999,
        hico_t=0.2,
        queue_wrap="published",
        epochs=451,
        start_epoch=0,
        batch_size=64,
        lr=0.01,
        schedule=(351,),
        cos=False,
        momentum=0.9,
        weight_decay=1e-4,
        resume="",
        checkpoint_path=Path("checkpoints"),
        save_freq=50,
        device="auto",
        seed=None,
        print_freq=10,
        workers=None,
        precision="fp32",
        graph="auto",
    )


def test_classification_defaults_are_the_published_run():
    options = classification.parse(["--pretrained", "x"])
    assert (options.epochs, options.batch_size, options.lr) == (80, 1024, 2.0)
    assert (options.schedule, options.momentum, options.weight_decay) == ((50, 70), 0.9, 0.0)
    assert (options.dataset, options.protocol, options.stream) == ("ntu60", "cross_view", "joint")
    assert (options.probe_crop, options.resume, options.start_epoch) == ("centre", "", 0)
    assert (options.mode, options.label_fraction, options.runs) == ("linear", 1.0, 1)
    assert options.output_path is None


@pytest.mark.parametrize("text", ["--mode finetune --pretrained x", "--mode supervised"])
def test_training_the_encoder_takes_the_recipe_of_cmd(text):
    options = classification.parse(shlex.split(text))
    assert (options.epochs, options.batch_size, options.lr) == (80, 64, 0.01)
    assert (options.schedule, options.momentum, options.weight_decay) == ((50, 70), 0.9, 0.0)
    assert (options.probe_crop, options.optimizer, options.cos) == ("random", "sgd", False)
    assert (options.encoder_lr, options.head_lr, options.layer_decay) == (None, None, 1.0)
    assert options.encoder_mode == "train"
    assert options.pretrained == ("x" if "finetune" in text else "random")


def test_adamw_has_a_rate_and_a_decay_of_its_own_that_options_override():
    options = parse("classification", "--mode finetune --optimizer adamw")
    assert (options.lr, options.weight_decay, options.batch_size) == (3e-4, 0.05, 64)
    given = "--mode finetune --optimizer adamw --lr 0.1 --wd 0 --batch-size 8 --crop centre"
    options = parse("classification", given)
    assert (options.lr, options.weight_decay, options.batch_size) == (0.1, 0.0, 8)
    assert options.probe_crop == "centre"


def test_the_defaults_of_the_settings_are_those_of_the_options():
    from tools.evaluation.finetune import FinetuneSettings  # torch, which options never need
    from tools.evaluation.probe import ProbeSettings

    for mode, settings in (("linear", ProbeSettings()), ("finetune", FinetuneSettings())):
        given = vars(parse("classification", f"--mode {mode}"))
        for name, value in vars(settings).items():
            assert given[name] == value


def test_supervised_takes_the_shape_of_the_encoder():
    options = classification.parse(["--mode", "supervised", "--encoder", "GRU"])
    assert groups.encoder_settings(options)["kind"] == "GRU"


def test_retrieval_defaults_are_the_published_run():
    options = retrieval.parse(["--pretrained", "x"])
    assert (options.knn_neighbours, options.batch_size) == ((1,), 256)
    assert (options.gallery, options.query, options.query_file) == ("train", "val", None)
    assert (options.save_features, options.stream) == (None, "joint")


@pytest.mark.parametrize(("script", "flag", "value", "field", "expected"), EVERY_OPTION)
def test_every_option_is_read_in_both_spellings(script, flag, value, field, expected):
    mode, space, flag = flag.rpartition(" ")
    for name in {flag, flag[:2] + flag[2:].replace("-", "_")}:
        name = mode + space + name
        options = parse(script, f"{name} {value}")
        assert getattr(options, field) == expected
        if value and " " not in value and flag.startswith("--"):
            assert parse(script, f"{name}={value}") == options


@pytest.mark.parametrize("script", MODULES)
def test_options_cannot_be_changed_afterwards(script):
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse(script, "").seed = 1


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
    }
    protocols = ("cross_view", "cross_subject", "cross_setup")
    for dataset, protocol in itertools.product(published, protocols):
        text = f"{flag} {dataset} --protocol {protocol}"
        if protocol in published[dataset]:
            assert parse(script, text).protocol == protocol
        else:
            assert fault(script, text, capsys).startswith(f"error: --protocol {protocol}: ")


def test_a_protocol_of_another_data_set_is_answered_with_those_that_fit(capsys):
    said = fault("pretraining", "--pre-dataset ntu120 --protocol cross_view", capsys)
    assert said == "error: --protocol cross_view: ntu120 has cross_subject, cross_setup"


NAMES = (
    "ntu60, ntu120, pku_part1, pku_part2, pku_mmd_part1, pku_mmd_part2, utd_mhad, ntu60_frame50, "
    "ntu120_frame50"
)
FAULTS = [
    ("pretraining", "--pre-dataset ntu61", f"--pre-dataset ntu61: known are {NAMES}"),
    ("retrieval", "--finetune-dataset x", f"--finetune-dataset x: known are {NAMES}"),
    (
        "pretraining",
        "--protocol xview",
        "--protocol xview: known are cross_view, cross_subject, cross_setup",
    ),
    (
        "pretraining",
        "--skeleton_representation bones",
        "--skeleton-representation bones: known are joint, motion, bone",
    ),
    ("pretraining", "--encoder gru", "--encoder gru: known are GRU, LSTM, Transformer"),
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
    ("pretraining", "--data-path ''", "--data-path: is empty; give a path"),
    ("pretraining", "--checkpoint-path ' '", "--checkpoint-path: is empty; give a path"),
    ("pretraining", "--epoch 3", "--epoch: no such option, did you mean --epochs?; see --help"),
    ("pretraining", "--zzz=3", "--zzz=3: no such option; see --help"),
    ("pretraining", "lost", "lost: no such option; see --help"),
    ("pretraining", "--lr", "--lr: expected one argument"),
    ("pretraining", "--lr '1\n2'", "--lr: 1 2: needs a number above 0"),
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
    options = MODULES[script].parse(
        shlex.split("--pretrained random --encoder GRU --hidden_size 64")
    )
    assert groups.encoder_settings(options) == {
        "kind": "GRU",
        "hidden_size": 64,
        "num_heads": 4,
        "num_layers": 1,
        "granularity": 4,
    }
    bare = MODULES[script].parse(["--pretrained", "random"])
    assert groups.encoder_settings(bare) == groups.encoder_settings(pretraining.parse([]))


@pytest.mark.parametrize("script", ["classification", "retrieval"])
def test_not_giving_an_encoder_option_is_not_giving_its_default(script):
    options = parse(script, "")
    for name in groups.PUBLISHED_ENCODER:
        assert getattr(options, name) is None


def test_an_empty_schedule_keeps_the_rate():
    assert pretraining.parse(["--schedule", "--epochs", "3"]).schedule == ()


@pytest.mark.parametrize("script", MODULES)
def test_help_names_every_option_with_its_default(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        MODULES[script].parse(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for name, flag, *_ in EVERY_OPTION:
        if name == script:
            assert flag.split()[-1] in shown
    assert "(default: None)" not in shown
    flags = [line for line in shown.splitlines() if line.startswith("  -")]
    without_default = {"-h, --help", "--cos"}
    assert shown.count("(default:") == len(flags) - len(
        [line for line in flags if any(bare in line for bare in without_default)]
    )


@pytest.mark.parametrize("script", MODULES)
def test_help_imports_little_beside_the_standard_library(script):
    _, foreign, count = imported_by(f"from options.{script} import parse\nparse(['--help'])")
    assert foreign == []
    assert count < 100
