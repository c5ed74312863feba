#!/usr/bin/env bash
# Asks a running saimon, by its own description and with all sorts of right and wrong values, whether it
# answers as it says: no 5xx, no answer of another shape, nothing wrong that is taken. schemathesis is
# installed into a folder below target/ the first time, which needs PyPI once.
#   scripts/check-api.sh http://localhost:9925 [SECONDS=25]
# Acts are asked too (feedback, maintenance ...): not for a saimon that somebody relies on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

url=${1:?usage: scripts/check-api.sh URL [SECONDS]}
seconds=${2:-25}
version=4.32.5
tools=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/schemathesis
if ! "$tools/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

# Ids that there are, so that what is behind them is asked and not only that they are wrong.
first() {
    "$tools/bin/python" -c 'import json, sys, urllib.request as u
with u.urlopen(sys.argv[1]) as answer:
    found = json.load(answer)[sys.argv[2]]
print(found[0]["id"] if found else "")' "$url$1" "$2" 2>/dev/null || true
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    echo "seed = ${SEED:-1}"
    for of in "anomalies anomalies?limit=1" "incidents incidents?limit=1" "series series?kind=gauge&limit=1"; do
        name=${of%% *}
        id=$(first "/api/v1/${of#* }" "$name")
        [ -n "$id" ] || continue
        printf '[[operations]]\ninclude-path-regex = "^/api/v1/%s/[{]id[}]"\nparameters = { id = "%s" }\n' "$name" "$id"
    done
} > "$work/schemathesis.toml"

# Left out is one check, that everything is taken which the description's types allow: no type says
# that start_time and start_date are not given together, or which page tokens are ours.
cd "$work"
"$tools/bin/schemathesis" --config-file "$work/schemathesis.toml" run "$url/openapi.json" \
    --phases examples,coverage,fuzzing --max-time "$seconds" --max-examples 30 --no-shrink \
    --exclude-checks positive_data_acceptance --request-timeout 20 --continue-on-failure
