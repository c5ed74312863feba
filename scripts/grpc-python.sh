#!/usr/bin/env bash
# Runs a Python script that can import saimon's gRPC client: `from saimon.v1 import service_pb2_grpc`.
# grpcio and the compiler of .proto files are installed into a folder below target/ the first time,
# which needs PyPI once; the client is generated anew whenever proto/ has changed.
#   scripts/grpc-python.sh SCRIPT [ARGUMENT...]
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

[ $# -gt 0 ] || { echo "usage: $0 SCRIPT [ARGUMENT...]" >&2; exit 2; }
version=1.85.1
tools=${CARGO_TARGET_DIR:-$repository/target}/grpc-python
if ! "$tools/bin/python" -c "import grpc_tools, grpc; assert grpc.__version__ == '$version'" 2>/dev/null; then
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "grpcio==$version" "grpcio-tools==$version"
fi

client=$tools/client
if [ ! -d "$client/saimon" ] || [ -n "$(find "$repository/proto/saimon" -newer "$client/saimon" -print -quit)" ]; then
    rm -rf "$client"
    mkdir -p "$client"
    (cd "$repository" && "$tools/bin/python" -m grpc_tools.protoc -I proto \
        --python_out="$client" --grpc_python_out="$client" proto/saimon/v1/*.proto)
fi
PYTHONPATH=$client exec "$tools/bin/python" "$@"
