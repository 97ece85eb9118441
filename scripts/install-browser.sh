#!/bin/sh
# Installs Chromium and Poppler (Debian, as root): for windows, pages and PDF lines of the exam, and their tests. The same
# line as INSTALL_LINE in drawn_world/browser.py (a test compares them).
set -eu
apt-get update
apt-get install -y --no-install-recommends chromium poppler-utils
