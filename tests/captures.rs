//! Recorded requests of Prometheus 2.42 and vmagent 1.79, decoded: a choice of them that is kept in
//! `tests/data`, and all of them where the folder with the recordings is there.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use saimon::wire::proto::WriteRequest;
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::{self, LabelLimits, WriteArena};
use saimon::wire::write_v1;
use serde_json::Value;

#[path = "support/oracle.rs"]
mod oracle;

const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 128,
    name_bytes: 1024,
    value_bytes: 8192,
};

fn crate_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Decodes every body that the folder's index names; gives how many there were.
fn decode_all(folder: &Path) -> usize {
    let index = fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let pool = BodyPool::new(1);
    // One arena for all, so that what one body leaves behind would show in the next.
    let mut arena = WriteArena::default();
    let mut seen = 0;
    for line in index.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let file = row["file"].as_str().unwrap();
        let count = |name: &str| row["counts"][name].as_u64().unwrap() as usize;
        let compressed = fs::read(folder.join(file)).unwrap();
        let mut body = pool.decompress(&compressed, 32 << 20).unwrap();
        let raw = row["raw_bytes"].as_u64().unwrap() as usize;
        assert_eq!(body.len(), raw, "{file}");
        write_v1::decode(body.bytes_mut(), &LIMITS, &mut arena).unwrap();

        // Labels of exemplars are written out behind the body.
        let exemplars = arena.exemplar_spans.iter().map(|e| e.labels.len as usize);
        assert_eq!(
            body.len(),
            raw + exemplars.sum::<usize>(),
            "{file}: these senders' labels are canonical"
        );
        assert!(
            arena.refused.is_empty(),
            "{file}: {:?}",
            arena.refused.named
        );
        let stale = arena.samples.iter().filter(|s| write::is_stale(s.value));
        let nan = arena.samples.iter().filter(|s| s.value.is_nan()).count();
        let got = [
            arena.series.len(),
            arena.samples.len(),
            arena.exemplars as usize,
            arena.histograms.len(),
            arena.metadata.len(),
            stale.clone().count(),
            nan - stale.count(),
        ];
        let wanted = [
            count("series"),
            count("samples"),
            count("exemplars"),
            count("histograms"),
            count("metadata"),
            count("stale_samples"),
            count("nan_samples"),
        ];
        assert_eq!(got, wanted, "{file}");
        oracle::assert_same(
            &body,
            &arena,
            &LIMITS,
            &WriteRequest::decode(&body[..raw]).unwrap(),
        );
        seen += 1;
    }
    seen
}

/// Conformance 25, 27, 30, 31, 33: absent zeros, metadata alone, exemplars alone, histograms, stale
/// markers are all in these bodies.
#[test]
fn the_chosen_bodies_are_decoded_to_what_was_counted_and_to_what_prost_reads() {
    assert_eq!(decode_all(&crate_root().join("tests/data/write-1.0")), 12);
}

#[test]
fn all_recorded_bodies_likewise_where_they_are() {
    let captures = crate_root().join("../shared/captures");
    for folder in ["prom-2.42/write", "vmagent-1.79"] {
        let folder = captures.join(folder);
        if folder.try_exists().unwrap() {
            assert!(decode_all(&folder) >= 200);
        }
    }
}
