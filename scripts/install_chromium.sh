#!/usr/bin/env bash
# Install Chromium, which the tests of the page drive, if there is none; on Debian, as root.
set -euo pipefail
if command -v chromium >/dev/null; then
    exit 0
fi
command -v apt-get >/dev/null || { echo "the tests of the page need a program called chromium; install it"; exit 1; }
apt-get update
apt-get install -y --no-install-recommends chromium
