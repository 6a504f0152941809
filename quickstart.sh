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
split=(--protocol cross_subject --data-path "$data" --seed "$seed" --device cpu)
encoder=(--encoder LSTM --hidden-size 32)
# So small a run wants a queue and a key network that keep up with it; the rest is as published.
contrast=(--hico-k 256 --hico-m 0.99 --lr 0.02 --epochs 160 --schedule 128)
# So small a model gains little from a second thread, and waits for it where the machine is busy.
export OMP_NUM_THREADS=1
rm -rf "$data" "$run"
mkdir -p "$run"

step() {
    echo
    echo "[$((SECONDS - begin)) s] $1"
}

# Score one encoder by both evaluations and keep what they say in logs; show it only if they fail.
score() {
    local name=$1 script log
    shift
    for script in action_retrieval action_classification; do
        log=$run/$name-$script.log
        "$python" $script.py "${split[@]}" "$@" --output-path "$run/$name/$script" >"$log" 2>&1 || {
            cat "$log" >&2
            exit 1
        }
    done
}

step "inventing recordings: genuine NTU .skeleton files"
"$python" -m tools.prepare synthetic --out "$data/raw" --seed "$seed"
step "preparing them as NTU RGB+D 60"
"$python" -m tools.prepare ntu --dataset ntu60 --raw "$data/raw" --out "$data"
step "pre-training without labels"
"$python" pretraining.py "${split[@]}" "${encoder[@]}" "${contrast[@]}" \
    --checkpoint-path "$run" --save-freq 1000 --print-freq 65
step "scoring the pre-trained encoder by nearest neighbours and by a linear classifier"
score pre-trained --pretrained "$run/checkpoint_last.pth.tar"
step "scoring a random encoder of the same size likewise"
score random --pretrained random "${encoder[@]}"
step "done; what each script said is in $run. Test accuracy in percent, seed $seed:"
echo
"$python" -m tools.compare "random=$run/random" "pre-trained=$run/pre-trained"
