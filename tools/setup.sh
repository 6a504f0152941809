# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh from the project's root: a virtual environment in the project.
#   set_up requirements.txt     leaves the environment's interpreter in $python

# Print the command that brings Python and its venv module on this machine.
_bring_python() {
    if command -v apt-get >/dev/null; then echo "sudo apt-get install -y python3 python3-venv"
    elif command -v dnf >/dev/null; then echo "sudo dnf install -y python3"
    elif command -v zypper >/dev/null; then echo "sudo zypper install -y python3"
    elif command -v pacman >/dev/null; then echo "sudo pacman -S --needed python"
    elif command -v apk >/dev/null; then echo "sudo apk add python3"
    elif command -v brew >/dev/null; then echo "brew install python"
    else echo "see https://www.python.org/downloads"
    fi
}

_fail() {
    echo "error: $1" >&2
    exit 2
}

# Print the first Python that is recent enough; $PYTHON, where set, is the only candidate.
_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Print a fingerprint of what is to be installed: the interpreter and both requirement lists.
_fingerprint() {
    "$python" - "$@" <<'PYTHON'
import hashlib
import pathlib
import sys

text = sys.version.encode() + b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])
print(hashlib.sha256(text).hexdigest())
PYTHON
}

set_up() {
    local wanted=$1 base stamp=.venv/installed-$1.sha256 fingerprint
    python=$PWD/.venv/bin/python
    if ! "$python" -c '' 2>/dev/null; then
        base=$(_find_python) || _fail "Python 3.10 or later is missing; bring it with: $(_bring_python)"
        "$base" -c 'import ensurepip, venv' 2>/dev/null ||
            _fail "Python's venv module is missing; bring it with: $(_bring_python)"
        echo "making a virtual environment in .venv"
        "$base" -m venv --clear .venv || _fail "no virtual environment could be made in .venv"
    fi
    fingerprint=$(_fingerprint requirements.txt "$wanted")
    if [ "$(cat "$stamp" 2>/dev/null)" != "$fingerprint" ]; then
        echo "installing $wanted into .venv (once; this can take minutes)"
        "$python" -m pip install --quiet --requirement "$wanted" ||
            _fail "$wanted could not be installed; is the package index reachable? run this again"
        echo "$fingerprint" >"$stamp"
    fi
}
