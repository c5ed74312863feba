//! `io.prometheus.write.v2.Request` (remote write 2.0, rc.4): each text once in a table of symbols,
//! series as numbers into it, type and help with every series.
//!
//! What always holds: the first symbol is empty, no symbol occurs twice, and the labels of a series
//! are in the order of their names.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::encode_v1::{put_sample, sample_len};
use super::series::Row;
use crate::series::labels;
use crate::wire::field::{put_varint, varint_len};

/// Appends a request of these rows, an entry with one sample for each.
pub fn request<'a>(rows: impl IntoIterator<Item = Row<'a>>, out: &mut Vec<u8>) {
    let mut symbols = Symbols::new();
    let mut entries = Vec::new();
    let mut refs = Vec::new();
    for row in rows {
        refs.clear();
        for (name, value) in labels::iter(row.labels.canonical()) {
            put_varint(&mut refs, symbols.of(name).into());
            put_varint(&mut refs, symbols.of(value).into());
        }
        let metadata = [
            (0x08, row.family.kind as u64),
            (0x18, symbols.of(&row.family.help).into()),
            (0x20, symbols.of(&row.family.unit).into()),
        ];
        let metadata = metadata.into_iter().filter(|(_, number)| *number != 0);
        let metadata_len: usize = metadata.clone().map(|(_, n)| 1 + varint_len(n)).sum();
        let (value, timestamp) = (row.value.to_bits(), row.timestamp_ms as u64);
        let sample = sample_len(value, timestamp);
        let entry = [refs.len(), sample, metadata_len]
            .map(|len| 1 + varint_len(len as u64) + len)
            .iter()
            .sum::<usize>();
        entries.push(0x2a);
        put_varint(&mut entries, entry as u64);
        entries.push(0x0a);
        put_varint(&mut entries, refs.len() as u64);
        entries.extend_from_slice(&refs);
        entries.push(0x12);
        put_sample(value, timestamp, &mut entries);
        entries.push(0x2a);
        put_varint(&mut entries, metadata_len as u64);
        for (tag, number) in metadata {
            entries.push(tag);
            put_varint(&mut entries, number);
        }
    }
    for symbol in symbols.in_order {
        out.push(0x22);
        put_varint(out, symbol.len() as u64);
        out.extend_from_slice(symbol.as_bytes());
    }
    out.append(&mut entries);
}

/// Texts by their numbers, and the other way round.
struct Symbols<'a> {
    in_order: Vec<&'a str>,
    numbers: HashTable<u32>,
}

impl<'a> Symbols<'a> {
    fn new() -> Self {
        let mut symbols = Self {
            in_order: Vec::new(),
            numbers: HashTable::new(),
        };
        symbols.of("");
        symbols
    }

    fn of(&mut self, text: &'a str) -> u32 {
        let Self { in_order, numbers } = self;
        let hash = |text: &str| xxh3_64(text.as_bytes());
        let place = numbers.entry(
            hash(text),
            |at| in_order[*at as usize] == text,
            |at| hash(in_order[*at as usize]),
        );
        let next = in_order.len() as u32;
        let number = *place.or_insert(next).get();
        if number == next {
            in_order.push(text);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message as _;

    use super::super::series::{Family, Labels, stale};
    use super::*;
    use crate::wire::proto::v2;
    use crate::wire::write::MetricType;

    #[test]
    fn prost_reads_what_was_meant_and_would_write_the_same_bytes() {
        let labels = |i: &str| {
            let pairs = [("zone", "a"), ("__name__", "m.x"), ("i", i), ("a", "zone")];
            Labels::new(pairs).unwrap()
        };
        let (one, two) = (labels("1"), labels("2"));
        let families = [
            Family {
                kind: MetricType::Counter,
                help: "how many".into(),
                unit: "".into(),
            },
            Family {
                kind: MetricType::Unknown,
                help: "".into(),
                unit: "seconds".into(),
            },
        ];
        let rows = [
            (&one, &families[0], 5, 1.5),
            (&two, &families[1], 0, 0.0),
            (&one, &families[0], -6, stale()),
        ];
        let all = rows.map(|(labels, family, timestamp_ms, value)| Row {
            labels,
            family,
            timestamp_ms,
            value,
        });
        let mut out = Vec::new();
        request(all, &mut out);
        let read = v2::Request::decode(out.as_slice()).unwrap();
        assert_eq!(read.symbols[0], "");
        let unique: HashSet<_> = read.symbols.iter().collect();
        assert_eq!(unique.len(), read.symbols.len());
        assert_eq!(read.symbols.len(), 10);
        let text = |number: u32| read.symbols[number as usize].as_str();
        for (series, (_, family, timestamp, value)) in read.timeseries.iter().zip(rows) {
            let labels: Vec<_> = series
                .labels_refs
                .chunks(2)
                .map(|pair| (text(pair[0]), text(pair[1])))
                .collect();
            assert_eq!(labels.len(), 4);
            assert!(labels.is_sorted());
            assert_eq!(labels[0], ("__name__", "m.x"));
            assert_eq!(series.samples.len(), 1);
            assert_eq!(series.samples[0].timestamp, timestamp);
            assert_eq!(series.samples[0].value.to_bits(), value.to_bits());
            let metadata = series.metadata.as_ref().unwrap();
            assert_eq!(metadata.r#type as u64, family.kind as u64);
            assert_eq!(text(metadata.help_ref), family.help);
            assert_eq!(text(metadata.unit_ref), family.unit);
        }
        assert_eq!(read.encode_to_vec(), out);
    }

    #[test]
    fn no_rows_are_an_empty_table() {
        let mut out = Vec::new();
        request([], &mut out);
        assert_eq!(v2::Request::decode(out.as_slice()).unwrap().symbols, [""]);
    }
}
