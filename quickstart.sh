#!/usr/bin/env bash
# From nothing to a number: sets up the project, invents recordings, prepares them, pre-trains an
# encoder without labels, and scores it beside a random one. `./quickstart.sh [--seed N] [--keep]`
# --keep leaves the raw recordings, which nothing needs once they are prepared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup.sh

seed=0 keep=
given="$*"
while [ $# -gt 0 ]; do
    case "$1:$#" in
        --keep:*) keep=yes ;;
        --seed:1) _fail "$given: usage is ./quickstart.sh [--seed N] [--keep]" ;;
        --seed:*) seed=$2; shift ;;
        *) _fail "$given: usage is ./quickstart.sh [--seed N] [--keep]" ;;
    esac
    shift
done
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
for folder in "$data" "$run"; do
    [ ! -e "$folder" ] || echo "removing $folder of an earlier quickstart"
    rm -rf "$folder"
done
mkdir -p "$run"

step() {
    echo
    echo "[$((SECONDS - begin)) s] $1"
}

# Run one command. A signal for this script ends it, too; the command says so in one line.
child='' log=''
exec 3>&2
call() {
    "$@" &
    child=$!
    wait "$child"
}
leave() {
    trap '' INT TERM
    [ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null || true
    [ -z "$log" ] || tail -n 1 "$log" >&3
    exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM

# Score one encoder by both evaluations and keep what they say in logs; show it only if they fail.
score() {
    local name=$1 script
    shift
    for script in action_retrieval action_classification; do
        log=$run/$name-$script.log
        call "$python" $script.py "${split[@]}" "$@" --output-path "$run/$name/$script" \
            >"$log" 2>&1 || {
            cat "$log" >&2
            exit 1
        }
    done
    log=''
}

step "inventing recordings: genuine NTU .skeleton files"
call "$python" -m tools.prepare synthetic --out "$data/raw" --seed "$seed"
step "preparing them as NTU RGB+D 60"
call "$python" -m tools.prepare ntu --dataset ntu60 --raw "$data/raw" --out "$data"
sample=$(find "$data/raw" -name '*.skeleton' | sort | tail -n 1)
cp "$sample" "$run"
[ -n "$keep" ] || rm -rf "$data/raw"
step "pre-training without labels"
call "$python" pretraining.py "${split[@]}" "${encoder[@]}" "${contrast[@]}" \
    --checkpoint-path "$run" --save-freq 1000 --print-freq 65 --knn-every 20
step "scoring the pre-trained encoder by nearest neighbours and by a linear classifier"
score pre-trained --pretrained "$run/checkpoint_last.pth.tar"
step "scoring a random encoder of the same size likewise"
score random --pretrained random "${encoder[@]}"
step "making a page to look at"
call "$python" -m tools.report "$run" --data-path "$data" --output "$run/report.html"
step "done; what each script said is in $run. Test accuracy in percent, seed $seed:"
echo
call "$python" -m tools.compare "random=$run/random" "pre-trained=$run/pre-trained"
chance=$(grep -os '"eval/chance": [0-9]*\.[0-9]' "$run/metrics.jsonl" | tail -n 1) || chance=
[ -z "$chance" ] || echo "a class drawn blindly from the training clips is right for ${chance##* }"
classifier=$run/pre-trained/action_classification/joint_model_best.pth.tar
cat <<NEXT

look at $run/report.html in a browser; next, for instance:
  curves         .venv/bin/tensorboard --logdir $run
  name a clip    .venv/bin/python -m tools.predict --classifier $classifier $run/$(basename "$sample")
  your own data  .venv/bin/python -m tools.prepare custom --help
NEXT
