#!/usr/bin/env bash
# Install GPAW, built serially, and its PAW data sets into a venv; on Debian also what the build needs (as root).
# Usage: scripts/install_gpaw.sh [VENV]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${1:-$here/../.venv}"
if "$venv/bin/python" -c 'import _gpaw, gpaw_data, sys; from importlib.metadata import version as v
sys.exit((v("gpaw"), v("gpaw-data")) != ("26.7.0", "1.2.1"))' 2>/dev/null; then
    exit 0
fi
headers_found() {
    echo '#include <xc.h>
#include <cblas.h>
#include <fftw3.h>' | g++ -E -x c++ -I"/usr/include/$(uname -m)-linux-gnu" - >/dev/null 2>&1
}
if ! headers_found || ! "$venv/bin/python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
    command -v apt-get >/dev/null || { echo "building GPAW needs a C++ compiler, libxc, OpenBLAS, FFTW and Python.h"; exit 1; }
    apt-get update
    apt-get install -y --no-install-recommends g++ python3-dev libxc-dev libopenblas-dev libfftw3-dev
fi
# GPAW_BUILD_JOBS must not be set: with it GPAW installs without its C module.
unset GPAW_BUILD_JOBS
GPAW_CONFIG="$here/gpaw_siteconfig.py" "$venv/bin/python" -m pip install --disable-pip-version-check --no-cache-dir \
    --constraint "$here/../requirements.lock" gpaw==26.7.0 gpaw-data==1.2.1
"$venv/bin/python" -c 'import _gpaw'
