//! `prometheus.WriteRequest`, as Prometheus writes it: one sample in each entry, all labels with it,
//! and metadata in requests of its own (remote write 1.0; protocol of the extensions: prompb).

use super::series::{Family, Row};
use crate::wire::field::{put_varint, varint_len};

/// Appends an entry for each row. A value or a timestamp of zero is not on the wire; -0.0 is.
pub fn rows<'a>(rows: impl IntoIterator<Item = Row<'a>>, out: &mut Vec<u8>) {
    for row in rows {
        let labels = row.labels.canonical();
        let (value, timestamp) = (row.value.to_bits(), row.timestamp_ms as u64);
        let sample = sample_len(value, timestamp);
        let entry = labels.len() + 1 + varint_len(sample as u64) + sample;
        out.push(0x0a);
        put_varint(out, entry as u64);
        out.extend_from_slice(labels);
        out.push(0x12);
        put_sample(value, timestamp, out);
    }
}

/// Appends the type, help and unit of each metric family, by its name.
pub fn metadata<'a>(families: impl IntoIterator<Item = (&'a str, &'a Family)>, out: &mut Vec<u8>) {
    for (name, family) in families {
        let kind = family.kind as u64;
        let texts = [(0x12, name), (0x22, &family.help), (0x2a, &family.unit)];
        let text_len = |text: &str| match text.len() {
            0 => 0,
            n => 1 + varint_len(n as u64) + n,
        };
        let kind_len = if kind == 0 { 0 } else { 2 };
        let len = kind_len + texts.iter().map(|(_, text)| text_len(text)).sum::<usize>();
        out.push(0x1a);
        put_varint(out, len as u64);
        if kind != 0 {
            out.extend([0x08, kind as u8]);
        }
        for (tag, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.push(tag);
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Bytes of a sample's content; the message is the same in 2.0.
pub(super) fn sample_len(value: u64, timestamp: u64) -> usize {
    let value = if value == 0 { 0 } else { 9 };
    let timestamp = match timestamp {
        0 => 0,
        t => 1 + varint_len(t),
    };
    value + timestamp
}

/// A sample with its length in front, without its tag.
pub(super) fn put_sample(value: u64, timestamp: u64, out: &mut Vec<u8>) {
    put_varint(out, sample_len(value, timestamp) as u64);
    if value != 0 {
        out.push(0x09);
        out.extend_from_slice(&value.to_le_bytes());
    }
    if timestamp != 0 {
        out.push(0x10);
        put_varint(out, timestamp);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::series::Labels;
    use super::*;
    use crate::output::series::stale;
    use crate::wire::proto;
    use crate::wire::write::MetricType;

    fn family(kind: MetricType) -> Family {
        Family {
            kind,
            help: "what it is".into(),
            unit: "".into(),
        }
    }

    #[test]
    fn prost_reads_what_was_meant_and_would_write_the_same_bytes() {
        let long = "v".repeat(300);
        let labels = Labels::new([("__name__", "m"), ("z", &*long), ("a.b", "\u{e4}\n")]).unwrap();
        let family = family(MetricType::Gauge);
        let samples = [
            (1_790_000_000_123, 1.5),
            (0, 0.0),
            (-5, f64::INFINITY),
            (7, stale()),
        ];
        let all = samples.map(|(timestamp_ms, value)| Row {
            labels: &labels,
            family: &family,
            timestamp_ms,
            value,
        });
        let mut out = Vec::new();
        rows(all, &mut out);
        let read = proto::WriteRequest::decode(out.as_slice()).unwrap();
        assert_eq!(read.timeseries.len(), 4);
        for (series, (timestamp, value)) in read.timeseries.iter().zip(samples) {
            let labels: Vec<_> = series
                .labels
                .iter()
                .map(|l| (&*l.name, &*l.value))
                .collect();
            assert_eq!(
                labels,
                [("__name__", "m"), ("a.b", "\u{e4}\n"), ("z", &*long)]
            );
            assert_eq!(series.samples.len(), 1);
            assert_eq!(series.samples[0].timestamp, timestamp);
            assert_eq!(series.samples[0].value.to_bits(), value.to_bits());
        }
        assert_eq!(read.encode_to_vec(), out);
    }

    #[test]
    fn minus_zero_stays_minus_zero() {
        let labels = Labels::new([("__name__", "m")]).unwrap();
        let mut out = Vec::new();
        let row = Row {
            labels: &labels,
            family: &family(MetricType::Gauge),
            timestamp_ms: 1,
            value: -0.0,
        };
        rows([row], &mut out);
        let read = proto::WriteRequest::decode(out.as_slice()).unwrap();
        let value = read.timeseries[0].samples[0].value;
        assert_eq!(value.to_bits(), (-0.0_f64).to_bits());
    }

    #[test]
    fn metadata_is_as_prost_has_it() {
        let (counter, unknown) = (family(MetricType::Counter), family(MetricType::Unknown));
        let mut out = Vec::new();
        metadata([("a", &counter), ("b", &unknown)], &mut out);
        let read = proto::WriteRequest::decode(out.as_slice()).unwrap();
        let all: Vec<_> = read
            .metadata
            .iter()
            .map(|m| (&*m.metric_family_name, m.r#type))
            .collect();
        assert_eq!(all, [("a", 1), ("b", 0)]);
        assert_eq!(read.metadata[0].help, "what it is");
        assert_eq!(read.encode_to_vec(), out);
    }
}
