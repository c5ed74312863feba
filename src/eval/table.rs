//! One file of a corpus, read whole: the largest have a few hundred thousand rows.

use std::fs::File;
use std::io::{BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;

use super::corpus::{CorpusError, Item, Layout, Set};

/// The rows of one file, column by column.
#[derive(Debug)]
pub(super) struct Table {
    /// What names a row in the results, as it stands in the file: its time or its number.
    pub(super) keys: Vec<Box<str>>,
    /// Milliseconds since the Unix epoch.
    pub(super) times: Vec<i64>,
    pub(super) labels: Vec<bool>,
    /// Values of each series; NaN where the file has none.
    pub(super) columns: Vec<Vec<f64>>,
    pub(super) names: Vec<String>,
}

impl Table {
    pub(super) fn samples(&self) -> u64 {
        (self.times.len() * self.columns.len()) as u64
    }
}

/// Reads the file of `item`.
pub(super) fn read(set: &Set, item: &Item) -> Result<Table, CorpusError> {
    let io = |source| CorpusError::Io {
        path: item.path.clone(),
        source,
    };
    let file = File::open(&item.path).map_err(io)?;
    let packed = item.path.extension().is_some_and(|e| e == "gz");
    let source: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    rows(set.layout, item, source)
}

fn rows(layout: Layout, item: &Item, source: Box<dyn Read>) -> Result<Table, CorpusError> {
    let wrong = |line: u64, what: String| CorpusError::Table {
        path: item.path.clone(),
        line,
        what,
    };
    let failed = |e: csv::Error| {
        let line = e.position().map_or(0, csv::Position::line);
        wrong(line, e.to_string())
    };
    let mut reader = ReaderBuilder::new()
        .buffer_capacity(1 << 18)
        .from_reader(source);
    let header = reader.headers().map_err(failed)?.clone();
    let find = |name: &str| header.iter().position(|h| h.trim() == name);
    let key_name = match layout {
        Layout::Machines => "row",
        _ => "timestamp",
    };
    let key = find(key_name).ok_or_else(|| wrong(1, format!("no column {key_name}")))?;
    let label = find("label");
    let values: Vec<usize> = match layout {
        Layout::Machines => (0..header.len())
            .filter(|i| *i != key && Some(*i) != label)
            .collect(),
        _ => vec![find("value").ok_or_else(|| wrong(1, "no column value".into()))?],
    };
    let mut table = Table {
        keys: Vec::new(),
        times: Vec::new(),
        labels: Vec::new(),
        columns: vec![Vec::new(); values.len()],
        names: values.iter().map(|i| header[*i].to_owned()).collect(),
    };
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(failed)? {
        let row = table.times.len();
        let line = record.position().map_or(0, csv::Position::line);
        let text = |i: usize| std::str::from_utf8(record.get(i).unwrap_or_default()).unwrap_or("?");
        let at = match layout {
            Layout::Machines => Some(row as i64 * item.interval_s as i64 * 1000),
            _ => time(text(key)),
        };
        let at = at.ok_or_else(|| wrong(line, format!("{:?} is no time", text(key))))?;
        table.times.push(at);
        table.keys.push(text(key).into());
        let marked = label.map_or("", text).trim();
        table
            .labels
            .push(marked.parse::<f64>().is_ok_and(|x| x > 0.0));
        for (column, i) in table.columns.iter_mut().zip(&values) {
            let value = match text(*i).trim() {
                "" => f64::NAN,
                value => value
                    .parse()
                    .map_err(|_| wrong(line, format!("{value:?} is no number")))?,
            };
            column.push(value);
        }
    }
    Ok(table)
}

/// A time as corpora write it, in milliseconds since 1970: seconds, or a date and a time of day,
/// taken as UTC.
pub(super) fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds
            .is_finite()
            .then(|| (seconds * 1000.0).round() as i64);
    }
    let at: jiff::civil::DateTime = text.trim_end_matches('Z').parse().ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}
