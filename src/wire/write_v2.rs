//! Remote write 2.0: a walk over the bytes of an `io.prometheus.write.v2.Request` into the arena.
//!
//! Series refer to a table of symbols. The table is read once; the labels of each series are written
//! out behind the body as 1.0 would have sent them, so that all that comes after sees no difference.
//!
//! What always holds: a body that is broken anywhere leaves the arena empty; a series that is no
//! label set, or refers to nothing, is refused alone. Written-out labels have a limit of their own: a
//! few references can stand for a lot of text. prost decodes the same bodies in the tests, and agrees.
//!
//! Read as release candidate 4 has it, and the start timestamp also where candidates up to 3 had it.

mod exemplars;
mod labels;
mod symbols;

use smallvec::SmallVec;

use self::labels::{Labels, Last, REFERENCES_MAX, Room};
use self::symbols::Symbols;
use super::exemplar::{self, Seen};
use super::field::{self, Wire};
use super::walk::{
    BODY_BYTES_MAX, Before, OVERRUN, WRONG_TYPE, broken, histogram, metric_type, span, too_many,
};
pub use super::write::DecodeError;
use super::write::{
    self, ENTRIES_MAX, HistogramSpan, LabelLimits, MetadataSpan, MetricType, Protocol, Refusal,
    Sample, SampleStart, SeriesSpan, Span, WriteArena,
};

/// As the check of histograms counts.
const VERSION: u8 = 2;

// Tags: field number and wire type.
const SYMBOL: u64 = 4 << 3 | 2;
const SERIES: u64 = 5 << 3 | 2;
const PACKED: u64 = 1 << 3 | 2;
const REFERENCE: u64 = 1 << 3;
const SAMPLE: u64 = 2 << 3 | 2;
const HISTOGRAM: u64 = 3 << 3 | 2;
const EXEMPLAR: u64 = 4 << 3 | 2;
const METADATA: u64 = 5 << 3 | 2;
const CREATED: u64 = 6 << 3;
const VALUE: u64 = 1 << 3 | 1;
const TIMESTAMP: u64 = 2 << 3;
const START: u64 = 3 << 3;
const TYPE: u64 = 1 << 3;
const HELP: u64 = 3 << 3;
const UNIT: u64 = 4 << 3;

/// What the decoder keeps from series to series, and warm from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    symbols: Symbols,
    /// References of a series that is looked at thoroughly.
    refs: Vec<u32>,
    last: Last,
}

impl Scratch {
    fn clear(&mut self) {
        self.symbols.clear();
        write::shrink(&mut self.refs);
        self.last.clear();
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.symbols.capacity_bytes()
            + self.refs.capacity() * size_of::<u32>()
            + self.last.capacity_bytes()
    }
}

/// Fills `out` (cleared first) from `body`. Labels are written out behind the body, which therefore
/// grows, by at most about `rebuilt_max` bytes.
///
/// Of a field that occurs twice where one is meant the last counts, and fields that are not known
/// are skipped, as protobuf has it. Metadata is noted once for each metric and type; an entry that
/// says nothing (type 0) is left out.
///
/// # Errors
/// If the body is no such message, has more than [`ENTRIES_MAX`] of anything, or has labels of more
/// than `rebuilt_max` bytes. `out` is empty then, and `body` is as it was.
pub fn decode(
    body: &mut Vec<u8>,
    limits: &LabelLimits,
    rebuilt_max: usize,
    out: &mut WriteArena,
) -> Result<(), DecodeError> {
    out.begin(Protocol::V2);
    let room = Room {
        sent: body.len(),
        rebuilt_max: rebuilt_max.min(BODY_BYTES_MAX),
    };
    let mut walk = Walk {
        limits,
        room,
        scratch: std::mem::take(&mut out.scratch),
        all_symbols: false,
        in_vain: 0,
    };
    let result = walk.request(body, out);
    out.scratch = walk.scratch;
    if result.is_err() {
        out.clear();
        body.truncate(room.sent);
    }
    result
}

/// One decode under way.
struct Walk<'a> {
    limits: &'a LabelLimits,
    room: Room,
    scratch: Scratch,
    /// All symbols were read before the first series.
    all_symbols: bool,
    /// Bytes of labels of series that were refused.
    in_vain: usize,
}

/// What `Metadata` says. It may come in pieces.
#[derive(Debug, Clone, Copy)]
struct Metadata {
    kind: MetricType,
    help: u32,
    unit: u32,
}

impl Walk<'_> {
    fn request(&mut self, body: &mut Vec<u8>, out: &mut WriteArena) -> Result<(), DecodeError> {
        if self.room.sent > BODY_BYTES_MAX {
            return broken("more than 1 GiB", BODY_BYTES_MAX);
        }
        self.scratch.clear();
        if self.fields(body, out)? {
            return Ok(());
        }
        // A symbol behind a series, which no known sender writes: once more, all symbols first.
        out.clear();
        body.truncate(self.room.sent);
        self.scratch.clear();
        self.collect_symbols(body)?;
        self.all_symbols = true;
        self.in_vain = 0;
        self.fields(body, out).map(drop)
    }

    /// Walks the fields of the request; false if a symbol came too late.
    fn fields(&mut self, body: &mut Vec<u8>, out: &mut WriteArena) -> Result<bool, DecodeError> {
        let mut at = 0;
        let mut entries = false;
        while at < self.room.sent {
            let msg = &body[..self.room.sent];
            let start = at;
            match field::varint(msg, &mut at)? {
                SYMBOL => {
                    let head = at;
                    let end = field::len(msg, &mut at)?;
                    if !self.all_symbols {
                        if entries {
                            return Ok(false);
                        }
                        self.scratch.symbols.push(msg, head, at, end, self.limits)?;
                    }
                    at = end;
                }
                SERIES => {
                    entries = true;
                    let end = field::len(msg, &mut at)?;
                    self.series(body, at, end, out)?;
                    at = end;
                }
                _ => at = other(msg, start, &[4, 5])?,
            }
        }
        Ok(true)
    }

    #[cold]
    fn collect_symbols(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut at = 0;
        while at < body.len() {
            let (number, wire) = field::tag(body, &mut at)?;
            if (number, wire) != (4, Wire::Len) {
                field::skip(body, &mut at, wire)?;
                continue;
            }
            let head = at;
            let end = field::len(body, &mut at)?;
            self.scratch
                .symbols
                .push(body, head, at, end, self.limits)?;
            at = end;
        }
        Ok(())
    }

    /// The labels of a series whose other fields were walked already, of any shape, or why it is
    /// refused: what is wrong with the rest of it, or they are no label set. Its references are
    /// left in the scratch.
    ///
    /// A series that is refused leaves no labels behind, and a few references can stand for a lot
    /// of them: what is looked at in vain counts as if it had been written out.
    #[cold]
    fn resolve(
        &mut self,
        body: &mut Vec<u8>,
        start: usize,
        end: usize,
        wrong: Option<Refusal>,
    ) -> Result<Result<Labels, Refusal>, DecodeError> {
        let Scratch { symbols, refs, .. } = &mut self.scratch;
        gather_references(&body[..self.room.sent], start, end, refs)?;
        let len = |reference: &u32| symbols.get(*reference).map_or(0, |s| s.text.len as usize);
        let bytes: usize = refs.iter().map(len).sum();
        let rebuilt = body.len() - self.room.sent;
        if rebuilt + self.in_vain + bytes > self.room.rebuilt_max {
            let limit = self.room.rebuilt_max;
            return Err(DecodeError::LabelsTooLarge { limit });
        }
        let resolved = match wrong {
            Some(why) => Err(why),
            None => labels::thorough(body, symbols, refs, self.limits),
        };
        if resolved.is_err() {
            self.in_vain += bytes;
        }
        Ok(resolved)
    }

    /// One `TimeSeries`.
    fn series(
        &mut self,
        body: &mut Vec<u8>,
        mut at: usize,
        end: usize,
        out: &mut WriteArena,
    ) -> Result<(), DecodeError> {
        let before = Before::of(out);
        let msg = &body[..self.room.sent];
        let start = at;
        let mut references = References::None;
        let mut wrong = None;
        let mut exemplars = Seen::new();
        let mut metadata = Metadata {
            kind: MetricType::Unknown,
            help: 0,
            unit: 0,
        };
        // Up to release candidate 3: for all samples of the entry.
        let mut created_ms = 0;
        while at < end {
            let field_start = at;
            match field::varint(msg, &mut at)? {
                PACKED => {
                    let refs_end = field::len(msg, &mut at)?;
                    references.add(References::Packed(span(at, refs_end - at)));
                    at = refs_end;
                }
                REFERENCE => {
                    field::varint(msg, &mut at)?;
                    references.add(References::Scattered);
                }
                SAMPLE => {
                    let sample_end = field::len(msg, &mut at)?;
                    if out.samples.len() >= ENTRIES_MAX {
                        return too_many("samples");
                    }
                    let (sample, start_ms) = sample(msg, at, sample_end)?;
                    if start_ms != 0 {
                        out.starts.push(SampleStart {
                            sample: out.samples.len() as u32,
                            start_ms,
                        });
                    }
                    out.samples.push(sample);
                    at = sample_end;
                }
                HISTOGRAM => {
                    let histogram_end = field::len(msg, &mut at)?;
                    if out.histograms.len() >= ENTRIES_MAX {
                        return too_many("histograms");
                    }
                    // One that is refused counts as lost.
                    match histogram(msg, at, histogram_end, VERSION)? {
                        Ok(histogram) => out.histograms.push(histogram),
                        Err(why) => {
                            wrong = wrong.or(Some(why));
                            out.histograms.push(HistogramSpan::default());
                        }
                    }
                    at = histogram_end;
                }
                EXEMPLAR => {
                    let exemplar_end = field::len(msg, &mut at)?;
                    if !exemplars::is_good(msg, at, exemplar_end, &self.scratch.symbols)? {
                        wrong = wrong.or(Some(Refusal::BadReference));
                    }
                    exemplar::note(&mut exemplars, at, exemplar_end);
                    out.exemplars += 1;
                    at = exemplar_end;
                }
                METADATA => {
                    let metadata_end = field::len(msg, &mut at)?;
                    metadata.read(msg, at, metadata_end)?;
                    at = metadata_end;
                }
                CREATED => created_ms = field::varint(msg, &mut at)? as i64,
                _ => at = other(msg, field_start, &[1, 2, 3, 4, 5, 6])?,
            }
        }
        if at != end {
            return broken(OVERRUN, end);
        }
        let symbols = &self.scratch.symbols;
        if !symbols.has(metadata.help) || !symbols.has(metadata.unit) {
            wrong = wrong.or(Some(Refusal::BadReference));
        }
        let last = &mut self.scratch.last;
        let quick = match (wrong, references) {
            (None, References::Packed(wire)) => {
                last.quick(body, symbols, wire, self.limits, self.room)
            }
            _ => None,
        };
        let resolved = match quick {
            Some(found) => Ok(found),
            None => self.resolve(body, start, end, wrong)?,
        };
        let found = match resolved {
            Ok(found) => found,
            Err(why) => {
                let lost = before.restore(out);
                let Scratch { symbols, refs, .. } = &self.scratch;
                let limits = self.limits;
                let text = || labels::describe(body, symbols, refs, limits);
                out.refused.add(why, lost, text);
                return Ok(());
            }
        };
        if !self.room.has(body) {
            let limit = self.room.rebuilt_max;
            return Err(DecodeError::LabelsTooLarge { limit });
        }
        if out.series.len() >= ENTRIES_MAX {
            return too_many("series");
        }
        let series = SeriesSpan {
            labels: found.labels,
            name: found.name,
            samples_start: before.samples as u32,
            samples_end: out.samples.len() as u32,
            histograms_start: before.histograms as u32,
            histograms_end: out.histograms.len() as u32,
        };
        out.series.push(series);
        if created_ms != 0 || out.starts.len() > before.starts {
            settle_starts(out, &before, created_ms);
        }
        if out.histograms.len() > before.histograms {
            settle_histogram_starts(&mut out.histograms[before.histograms..], created_ms);
        }
        let news = metadata.kind != MetricType::Unknown
            && found
                .metric
                .is_none_or(|name| self.scratch.symbols.note(name, metadata.kind));
        if news {
            if out.metadata.len() >= ENTRIES_MAX {
                return too_many("metadata entries");
            }
            let native = series.histograms_end > series.histograms_start;
            out.metadata.push(MetadataSpan {
                family: family(body, found.name, metadata.kind, native),
                kind: metadata.kind,
            });
        }
        if !exemplars.is_empty() {
            let symbols = &self.scratch.symbols;
            let read = |body: &[u8], message| exemplars::read(body, message, symbols);
            let room = self.room.sent + self.room.rebuilt_max;
            let of = (found.labels, found.name);
            exemplar::keep(body, room, of, &exemplars, out, read)?;
        }
        Ok(())
    }
}

/// Steps over the field at `at` if its number is none of those `known`, of which it has the wrong
/// type then; gives where it ends.
#[cold]
fn other(msg: &[u8], mut at: usize, known: &[u32]) -> Result<usize, DecodeError> {
    let start = at;
    let (number, wire) = field::tag(msg, &mut at)?;
    if known.contains(&number) {
        return broken(WRONG_TYPE, start);
    }
    field::skip(msg, &mut at, wire)?;
    Ok(at)
}

/// Where the references of a series lie.
#[derive(Debug, Clone, Copy)]
enum References {
    None,
    /// In one packed field, as senders write them.
    Packed(Span),
    /// In several fields.
    Scattered,
}

impl References {
    fn add(&mut self, more: Self) {
        *self = match self {
            Self::None => more,
            _ => Self::Scattered,
        };
    }
}

/// One `Sample` and its start timestamp, 0 if it has none. Zero is not on the wire: a field that is
/// absent is 0.
#[inline(always)]
fn sample(msg: &[u8], mut at: usize, end: usize) -> Result<(Sample, i64), DecodeError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    let mut start_ms = 0;
    // As senders write it; whatever follows is read by the loop.
    if at < end && u64::from(msg[at]) == VALUE {
        at += 1;
        sample.value = f64::from_bits(field::fixed64(msg, &mut at)?);
    }
    if at < end && u64::from(msg[at]) == TIMESTAMP {
        at += 1;
        sample.timestamp_ms = field::long_varint(msg, &mut at)? as i64;
    }
    while at < end {
        let start = at;
        match field::varint(msg, &mut at)? {
            VALUE => sample.value = f64::from_bits(field::fixed64(msg, &mut at)?),
            TIMESTAMP => sample.timestamp_ms = field::varint(msg, &mut at)? as i64,
            START => start_ms = field::varint(msg, &mut at)? as i64,
            _ => at = other(msg, start, &[1, 2, 3])?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok((sample, start_ms))
}

/// All references of a `TimeSeries`, packed or not, in order; beyond [`REFERENCES_MAX`] they are only
/// looked at. As everywhere in protobuf, of a number that is too large the low bits count.
#[cold]
fn gather_references(
    msg: &[u8],
    start: usize,
    end: usize,
    refs: &mut Vec<u32>,
) -> Result<(), DecodeError> {
    refs.clear();
    let mut keep = |varint: u64| {
        if refs.len() < REFERENCES_MAX {
            refs.push(varint as u32);
        }
    };
    let mut at = start;
    while at < end {
        match field::tag(msg, &mut at)? {
            (1, Wire::Len) => {
                let refs_end = field::len(msg, &mut at)?;
                while at < refs_end {
                    keep(field::varint(msg, &mut at)?);
                }
                if at != refs_end {
                    return broken(OVERRUN, refs_end);
                }
            }
            (1, Wire::Varint) => keep(field::varint(msg, &mut at)?),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    Ok(())
}

impl Metadata {
    fn read(&mut self, msg: &[u8], mut at: usize, end: usize) -> Result<(), DecodeError> {
        while at < end {
            let start = at;
            match field::varint(msg, &mut at)? {
                TYPE => self.kind = metric_type(field::varint(msg, &mut at)?),
                HELP => self.help = field::varint(msg, &mut at)? as u32,
                UNIT => self.unit = field::varint(msg, &mut at)? as u32,
                _ => at = other(msg, start, &[1, 3, 4])?,
            }
        }
        if at != end {
            return broken(OVERRUN, end);
        }
        Ok(())
    }
}

/// The start timestamps of one series: a sample's own one counts before the entry's, and none that
/// is after its sample.
#[cold]
fn settle_starts(out: &mut WriteArena, before: &Before, created_ms: i64) {
    let own: SmallVec<[SampleStart; 16]> = out.starts.drain(before.starts..).collect();
    let mut own = own.into_iter().peekable();
    for (i, sample) in out.samples.iter().enumerate().skip(before.samples) {
        let sample_at = i as u32;
        let start_ms = own
            .next_if(|start| start.sample == sample_at)
            .map(|start| start.start_ms)
            .filter(|start_ms| *start_ms <= sample.timestamp_ms)
            .unwrap_or(created_ms);
        if start_ms != 0 && start_ms <= sample.timestamp_ms {
            out.starts.push(SampleStart {
                sample: sample_at,
                start_ms,
            });
        }
    }
}

fn settle_histogram_starts(histograms: &mut [HistogramSpan], created_ms: i64) {
    for histogram in histograms {
        if histogram.start_ms == 0 {
            histogram.start_ms = created_ms;
        }
        if histogram.start_ms > histogram.timestamp_ms {
            histogram.start_ms = 0;
        }
    }
}

/// The family that a series with this name belongs to: that of a classic histogram or a summary has
/// none of the endings of its parts. A native histogram has the name of its family.
fn family(body: &[u8], name: Span, kind: MetricType, native: bool) -> Span {
    const PARTS: [&[u8]; 3] = [b"_bucket", b"_sum", b"_count"];
    let of_parts = matches!(kind, MetricType::Histogram | MetricType::Summary);
    if native || !of_parts {
        return name;
    }
    let text = name.of(body);
    let part = PARTS.iter().find(|part| text.ends_with(part));
    let part_len = part.map_or(0, |part| part.len() as u32);
    if part_len == name.len {
        return name;
    }
    Span {
        start: name.start,
        len: name.len - part_len,
    }
}

#[cfg(test)]
mod tests;
