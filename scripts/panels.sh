#!/usr/bin/env bash
# Writes docs/dashboards.md's table and pictures anew: the end-to-end test asks every query of every panel
# and keeps the answers, uPlot draws them in Chromium. Needs node with npm, and chromium (or CHROMIUM=...).
#   scripts/panels.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

answers=$PWD/target/panels
tools=$PWD/target/check-dashboards
mkdir -p "$answers" "$tools"
SAIMON_PANELS=$answers cargo test --test e2e
cp scripts/check-dashboards/package.json "$tools/"
npm install --prefix "$tools" --silent --no-audit --no-fund --ignore-scripts
node scripts/panels/render.mjs "$answers/panels.json" deploy/grafana "$tools" docs/images
cp "$answers/prometheus.png" docs/images/prometheus-band.png
node --input-type=module -e 'import {reduce} from "./scripts/panels/palette.mjs"; reduce("docs/images/prometheus-band.png")'
sed -i '/^<!-- table -->$/q' docs/dashboards.md
cat "$answers/table.md" >> docs/dashboards.md
