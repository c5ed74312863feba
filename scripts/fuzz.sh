#!/usr/bin/env bash
# Runs fuzz targets one after the other on stable Rust: the compiler is told to count edges, and
# libFuzzer, which needs a C++ compiler to be built, is linked in. SECONDS_EACH=60, or what is given.
#   scripts/fuzz.sh              all targets
#   scripts/fuzz.sh wire_v1 ...  these
# With a nightly compiler and cargo-fuzz, `cargo fuzz run wire_v1` does the same with more checks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${SECONDS_EACH:-60}
# 0 is another one each time. CI gives one, so that what it finds is about the change at hand.
seed=${FUZZ_SEED:-0}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(wire_v1 wire_v2 snappy zstd read frames chunk histogram histogram_chunk selector config)
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=16"
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
export CARGO_INCREMENTAL=0
# --target, so that build scripts are not instrumented
cargo build --release --locked --quiet --target "$host" --bins

failed=0
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target" "regressions/$target"
    log=artifacts/$target.log
    # what is new goes to found/, the corpus of the repository is only read
    if ! "$CARGO_TARGET_DIR/$host/release/$target" "found/$target" "corpus/$target" "regressions/$target" \
        -max_total_time="$seconds" -seed="$seed" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" >"$log" 2>&1; then
        failed=1
        tail -n 40 "$log"
        echo "$target: FAILED; move the input from fuzz/artifacts/$target to fuzz/regressions/$target" >&2
        continue
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
    echo "$target: $runs runs in $seconds s, $cover, nothing found"
done
exit "$failed"
