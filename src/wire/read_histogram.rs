//! A native histogram as the message of a remote read in the form SAMPLES.
//!
//! What always holds: the message is the one that a sender of 1.0 would write for the same histogram
//! (protocol notes, section 4), field 16 for custom buckets included; start timestamps, for which it
//! has no field, are left out.

use prost::Message as _;

use super::field::put_varint;
use super::histogram::{BucketSpan, Counts, NativeHistogram};
use super::proto;

/// Field 16, length-delimited: upper bounds of custom buckets, packed. Newer than the schema here.
const CUSTOM_VALUES: [u8; 2] = [0x82, 0x01];

/// The histogram as a `prometheus.Histogram`.
pub fn encode(histogram: &NativeHistogram) -> Vec<u8> {
    let spans = |spans: &[BucketSpan]| {
        spans
            .iter()
            .map(|s| proto::BucketSpan {
                offset: s.offset,
                length: s.length,
            })
            .collect()
    };
    let mut message = proto::Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        positive_spans: spans(&histogram.positive_spans),
        reset_hint: histogram.reset_hint as i32,
        timestamp: histogram.timestamp_ms,
        ..proto::Histogram::default()
    };
    match &histogram.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => {
            message.count = Some(proto::histogram::Count::CountInt(*count));
            message.zero_count = Some(proto::histogram::ZeroCount::ZeroCountInt(*zero));
            message.positive_deltas.clone_from(positive);
            message.negative_deltas.clone_from(negative);
        }
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => {
            message.count = Some(proto::histogram::Count::CountFloat(*count));
            message.zero_count = Some(proto::histogram::ZeroCount::ZeroCountFloat(*zero));
            message.positive_counts.clone_from(positive);
            message.negative_counts.clone_from(negative);
        }
    }
    let mut bytes = message.encode_to_vec();
    if !histogram.custom_values.is_empty() {
        bytes.extend_from_slice(&CUSTOM_VALUES);
        put_varint(&mut bytes, 8 * histogram.custom_values.len() as u64);
        for bound in &histogram.custom_values {
            bytes.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::histogram::{ResetHint, decode_into};

    #[test]
    fn what_was_encoded_is_decoded_to_the_same() {
        let span = |offset, length| BucketSpan { offset, length };
        let integer = NativeHistogram {
            schema: -4,
            zero_threshold: 1e-128,
            sum: -0.5,
            reset_hint: ResetHint::No,
            positive_spans: vec![span(-3, 2), span(4, 1)],
            negative_spans: vec![span(0, 1)],
            counts: Counts::Integer {
                count: 17,
                zero: 0,
                positive: vec![5, -3, 1],
                negative: vec![7],
            },
            timestamp_ms: 1_795_341_581_789,
            ..NativeHistogram::default()
        };
        let float = NativeHistogram {
            schema: -53,
            reset_hint: ResetHint::Gauge,
            positive_spans: vec![span(0, 3)],
            custom_values: vec![0.5, 2.5],
            counts: Counts::Float {
                count: 6.5,
                zero: 0.0,
                positive: vec![1.5, 2.0, 3.0],
                negative: Vec::new(),
            },
            timestamp_ms: -1,
            ..NativeHistogram::default()
        };
        for histogram in [integer, float] {
            let mut read = NativeHistogram::default();
            decode_into(&encode(&histogram), &mut read).unwrap();
            assert_eq!(read, histogram);
        }
    }
}
