#!/usr/bin/env bash
# Sets up the project and checks it: ruff, then the whole test suite. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup.sh
set_up requirements-dev.txt

"$python" -m ruff check .
"$python" -m ruff format --check .
# One thread a worker: two workers of several threads each would fight for the cores.
OMP_NUM_THREADS=1 "$python" -m pytest -n 2 "$@"
