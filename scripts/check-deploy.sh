#!/usr/bin/env bash
# Holds the deployment files against schemas and linters of the programs that they are for: what cannot
# be run without Docker or a cluster. docs/deployment.md says which checks which.
#   scripts/check-deploy.sh
# Needs python3 with venv. The tools that scripts/check-deploy names are installed
# below target/; kubectl, promtool, amtool and systemd-analyze are used if they are there, and what is
# left out is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=${CHECK_DEPLOY_TOOLS:-$PWD/target/check-deploy}
mkdir -p "$tools"
if ! cmp -s scripts/check-deploy/requirements.txt "$tools/requirements.txt"; then
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check -r scripts/check-deploy/requirements.txt
    cp scripts/check-deploy/requirements.txt "$tools/requirements.txt"
fi
PATH="$tools/python/bin:$PATH" exec "$tools/python/bin/python" scripts/check-deploy/check.py
