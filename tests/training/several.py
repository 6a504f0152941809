"""Run pretraining.py several times in one process: what costs is to start one.

`python -m tests.training.several [--without-dropout] ARGUMENTS…`, each a JSON list. Equality of
runs with several processes and with one is promised without dropout, which is no option.
"""

import json
import sys
from contextlib import nullcontext
from functools import partialmethod

import pretraining
from moco.config import TransformerConfig
from tools.training import ranks


def without_dropout(patch):
    """Let Transformers be made without dropout, by `patch(object, name, value)`."""
    patch(TransformerConfig, "__init__", partialmethod(TransformerConfig.__init__, dropout=0.0))


if __name__ == "__main__":
    runs = sys.argv[1:]
    if runs[0] == "--without-dropout":
        without_dropout(setattr)
        runs = runs[1:]
    with ranks.joined() as met:  # once: who meets again at once may find the old addresses
        ranks.joined = lambda: nullcontext(met)
        for run in runs:
            pretraining.main(json.loads(run))
