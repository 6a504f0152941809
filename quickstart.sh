#!/usr/bin/env bash
# Sets up the project and shows the method on recordings of its own making: prepare, pre-train, probe
# and retrieve; ends with a table of a random encoder beside the pre-trained one.
#   ./quickstart.sh [--seed N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup.sh

seed=0
while [ $# -gt 0 ]; do
    case $1 in
        --seed) seed=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
        --seed=*) seed=${1#*=} && shift ;;
        *) _fail "$1: known is --seed N" ;;
    esac
done
[[ $seed =~ ^[0-9]{1,9}$ ]] || _fail "--seed ${seed:-(empty)}: needs a whole number, 0 or more"
set_up requirements.txt
# So small a model gains little from a second thread and waits for it long where the machine is busy.
export OMP_NUM_THREADS=1

data=data/synthetic-$seed checkpoints=checkpoints/quickstart-$seed
split=(--data-path "$data" --protocol cross_subject)
encoder=(--encoder LSTM --hidden-size 32)
# So small a run wants a queue and a key network that keep up with it; the rest is the published run.
contrast=(--hico-k 256 --hico-m 0.99 --lr 0.02 --epochs 160 --schedule 128 --save-freq 1000)

step() {
    echo
    echo "== $1"
    shift
    "$python" "$@"
}

rm -rf "$data" "$checkpoints"
step "make recordings" -m tools.prepare synthetic --out "$data/raw" --seed "$seed"
step "prepare" -m tools.prepare ntu --dataset ntu60 --raw "$data/raw" --out "$data"
step "pre-train without labels" pretraining.py "${split[@]}" "${encoder[@]}" "${contrast[@]}" \
    --print-freq 1000 --seed "$seed" --checkpoint-path "$checkpoints/pre-trained"
for name in random pre-trained; do
    pretrained=(--pretrained "$checkpoints/pre-trained/checkpoint_last.pth.tar")
    [ $name = random ] && pretrained=(--pretrained random "${encoder[@]}")
    for script in action_retrieval action_classification; do
        step "$script, $name encoder" $script.py "${split[@]}" "${pretrained[@]}" --seed "$seed" \
            --output-path "$checkpoints/$name/$script"
    done
done
step "accuracy in percent, $(ls "$data/raw" | wc -l) synthetic recordings, seed $seed" -m tools.compare \
    "random=$checkpoints/random" "pre-trained=$checkpoints/pre-trained"
