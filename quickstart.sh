#!/usr/bin/env bash
# From nothing to a number: sets up the project, invents recordings, prepares them, pre-trains an
# encoder without labels, and scores it beside a random one. `./quickstart.sh [--seed N]`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup.sh

seed=0
case "$#:${1-}" in
    0:) ;;
    2:--seed) seed=$2 ;;
    *) _fail "$*: usage is ./quickstart.sh [--seed N]" ;;
esac
case $seed in '' | *[!0-9]*) _fail "--seed $seed: choose a whole number, 0 or more" ;; esac

set_up requirements.txt
begin=$SECONDS
data=data/synthetic
run=checkpoints/quickstart
# What differs from the published run is what makes three minutes on two cores enough.
encoder=(--encoder LSTM --hidden-size 64)
split=(--protocol cross_subject --data-path "$data" --device cpu --seed "$seed")
rm -rf "$data" "$run"
mkdir -p "$run"

step() {
    echo
    echo "[$((SECONDS - begin)) s] $1"
}

# Run a script and keep what it says in a log; show it only if it fails.
quietly() {
    local log=$run/$1.log
    shift
    "$python" "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
}

step "inventing recordings: genuine NTU .skeleton files"
"$python" -m tools.prepare synthetic --out "$data/raw" --seed "$seed"
step "preparing them as NTU RGB+D 60"
"$python" -m tools.prepare ntu --dataset ntu60 --raw "$data/raw" --out "$data"

step "pre-training without labels"
"$python" pretraining.py "${split[@]}" "${encoder[@]}" --pre-dataset ntu60 \
    --lr 0.02 --hico-t 0.07 --hico-k 512 --hico-m 0.99 --epochs 120 --schedule 100 \
    --checkpoint-path "$run" --save-freq 1000 --print-freq 65

score() {
    local name=$1
    shift
    quietly "$name-knn" action_retrieval.py "${split[@]}" "$@" --finetune-dataset ntu60
    quietly "$name-linear" action_classification.py "${split[@]}" "$@" --finetune-dataset ntu60 \
        --lr 0.5
}
step "scoring the pre-trained encoder by nearest neighbours and by a linear classifier"
score pretrained --pretrained "$run/checkpoint_last.pth.tar"
step "scoring a random encoder of the same size likewise"
score random --pretrained random "${encoder[@]}"

step "done; what each script said is in $run"
echo
"$python" -m tools.compare "$run"
