#!/bin/sh
# Installs the fonts and the word list of the drawn world (Debian). Needed to train nano or to draw new items, never to run it.
set -eu
cd "$(dirname "$0")/.."
apt-get update
eval "$(PYTHONPATH=. "${PYTHON:-python3}" -c 'from qwen2vl.nano.world.fonts import INSTALL_LINE; print(INSTALL_LINE)')"
