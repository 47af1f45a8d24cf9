#!/bin/sh
# Makes or refreshes the environment in $VENV: `install.sh run` to use Accordant, `install.sh dev` to work on it.
# With uv it syncs from uv.lock; without uv it uses venv and pip and the hash-pinned lists beside this file.
set -eu

kind="${1:-run}"
VENV="${VENV:-.venv}"
PYTHON="${PYTHON:-python3}"
here="$(dirname "$0")"

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    echo "Accordant needs Python 3.11 or newer, and '$PYTHON' was not found. Install Python, or name it: make demo PYTHON=python3.12" >&2
    exit 1
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    version="$("$PYTHON" -c 'import platform; print(platform.python_version())')"
    echo "Accordant needs Python 3.11 or newer, and '$PYTHON' is $version. Name a newer one: make demo PYTHON=python3.12" >&2
    exit 1
fi

if command -v uv >/dev/null 2>&1; then
    echo "Preparing $VENV with uv from uv.lock ($kind)" >&2
    if [ "$kind" = dev ]; then
        exec uv sync --frozen --quiet --python "$PYTHON"
    fi
    exec uv sync --frozen --quiet --no-dev --inexact --python "$PYTHON"
fi

echo "Preparing $VENV with pip from requirements/$kind.txt; this takes a minute the first time" >&2
if [ ! -x "$VENV/bin/python" ] && ! "$PYTHON" -m venv "$VENV"; then
    rm -rf "$VENV"
    echo "'$PYTHON' cannot make a virtual environment. On Debian and Ubuntu install python3-venv, or install uv; then run make again." >&2
    exit 1
fi
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    "$VENV/bin/python" -m ensurepip >/dev/null
fi
pip install --require-hashes --requirement "$here/build.txt"
pip install --require-hashes --requirement "$here/$kind.txt"
pip install --no-deps --no-build-isolation --editable "$here/.."
