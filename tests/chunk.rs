//! The XOR chunk against chunks that Prometheus 2.42 wrote, and against anything at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use saimon::series::labels;
use saimon::window::chunk::{self, ChunkAppender};
use saimon::wire::field;
use serde_json::Value;

type Samples = Vec<(i64, u64)>;

fn bits(samples: &[(i64, f64)]) -> Samples {
    samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
}

fn written(samples: &[(i64, u64)]) -> ChunkAppender {
    let mut chunk = ChunkAppender::new();
    for (t, v) in samples {
        assert!(chunk.append(*t, f64::from_bits(*v)));
    }
    chunk
}

/// The length-delimited fields of a message: (number, bytes). Others are left out.
fn fields(msg: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < msg.len() {
        let (number, wire) = field::tag(msg, &mut at).unwrap();
        if wire == field::Wire::Len {
            let end = field::len(msg, &mut at).unwrap();
            found.push((number, &msg[at..end]));
            at = end;
        } else {
            field::skip(msg, &mut at, wire).unwrap();
        }
    }
    found
}

/// The chunks of a streamed remote-read answer, by series: frames of length, checksum and a
/// `ChunkedReadResponse`.
fn recorded_chunks(answer: &[u8]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut at = 0;
    while at < answer.len() {
        let len = field::varint(answer, &mut at).unwrap() as usize;
        at += 4;
        for (_, series) in fields(&answer[at..at + len]) {
            let mut label_set = Vec::new();
            let mut chunks = Vec::new();
            for (number, part) in fields(series) {
                match number {
                    1 => {
                        let pair = fields(part);
                        let text = |i: usize| std::str::from_utf8(pair[i].1).unwrap();
                        label_set.push((text(0), text(1)));
                    }
                    _ => chunks.extend(fields(part).iter().map(|(_, data)| data.to_vec())),
                }
            }
            let key = labels::display(&labels::encode(label_set));
            found.entry(key).or_default().extend(chunks);
        }
        at += len;
    }
    found
}

fn expected(name: &str) -> BTreeMap<String, Samples> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-chunks");
    let decoded = fs::read_to_string(data.join("decoded.jsonl")).unwrap();
    let mut found: BTreeMap<String, Samples> = BTreeMap::new();
    for line in decoded.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["name"] != name {
            continue;
        }
        let label_set = row["labels"].as_object().unwrap();
        let label_set = label_set.iter().map(|(n, v)| (&**n, v.as_str().unwrap()));
        let samples = row["samples"].as_array().unwrap().iter().map(|s| {
            let value = u64::from_str_radix(s[1].as_str().unwrap(), 16).unwrap();
            (s[0].as_i64().unwrap(), value)
        });
        let key = labels::display(&labels::encode(label_set));
        found.entry(key).or_default().extend(samples);
    }
    found
}

/// Conformance 78 and 91: we read what Prometheus wrote, and from the same samples write the same
/// bytes.
#[test]
fn chunks_of_prometheus_are_read_and_written_bit_for_bit() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-chunks");
    for name in [
        "chunks-up",
        "specials-chunks",
        "stale-chunks",
        "long-chunks",
    ] {
        let answer = fs::read(data.join(format!("{name}.resp"))).unwrap();
        let mut got: BTreeMap<String, Samples> = BTreeMap::new();
        for (series, chunks) in recorded_chunks(&answer) {
            for recorded in chunks {
                let samples = bits(&chunk::decode(&recorded).unwrap());
                assert_eq!(written(&samples).bytes(), recorded, "{name} {series}");
                let resumed = ChunkAppender::resume(recorded).unwrap();
                assert_eq!(resumed, written(&samples));
                got.entry(series.clone()).or_default().extend(samples);
            }
        }
        assert!(!got.is_empty());
        assert_eq!(got, expected(name), "{name}");
    }
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..20_000i64,
        2 => -70_000..600_000i64,
        1 => any::<i64>(),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (-1_000..1_000i32).prop_map(|v| f64::from(v).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
        1 => Just(0x7ff0_0000_0000_0002),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_come_back_also_over_a_stop(
        steps in prop::collection::vec((time(), value()), 0..200),
        stop in 0..200usize,
    ) {
        let mut t = 1_795_341_631_372i64;
        let samples: Samples = steps
            .into_iter()
            .map(|(step, v)| {
                t = t.wrapping_add(step);
                (t, v)
            })
            .collect();
        let stop = stop.min(samples.len());
        let stored = postcard::to_stdvec(&written(&samples[..stop])).unwrap();
        let mut resumed: ChunkAppender = postcard::from_bytes(&stored).unwrap();
        for (t, v) in &samples[stop..] {
            resumed.append(*t, f64::from_bits(*v));
        }
        prop_assert_eq!(&resumed, &written(&samples));
        prop_assert_eq!(resumed.first_ms(), samples.first().map(|s| s.0));
        prop_assert_eq!(resumed.last_ms(), samples.last().map(|s| s.0));
        prop_assert_eq!(bits(&chunk::decode(resumed.bytes()).unwrap()), samples);
    }

    #[test]
    fn any_bytes_are_a_chunk_or_an_error(
        samples in 0..40u16,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [&samples.to_be_bytes()[..], &bytes].concat();
        if let Ok(samples) = chunk::decode(&bytes) {
            let mut resumed = ChunkAppender::resume(bytes).unwrap();
            prop_assert!(resumed.append(1, 1.0));
            prop_assert_eq!(chunk::decode(resumed.bytes()).unwrap().len(), samples.len() + 1);
        }
    }
}
