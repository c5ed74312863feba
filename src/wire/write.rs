//! The arena that every remote-write decoder fills.
//!
//! One request becomes flat vectors: samples, and series as ranges into them and into the bytes of
//! the decompressed body. A protocol version is one file that fills this arena; all that comes
//! after works on the arena alone. The vectors are reused, so a warm decoder allocates nothing.

use super::write_v2::Scratch;

/// The bits of the NaN that ends a series (Prometheus, `model/value`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// True for the staleness marker alone. Any other NaN is an ordinary sample.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// The version of remote write that a request is in. The message of its body follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `prometheus.WriteRequest`.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Series entries, samples, histograms, symbols and metadata entries of one request, each. Empty
/// messages take two bytes on the wire and up to 24 in the arena, so the size of a body alone does
/// not bound the memory. Prometheus sends 2,000 in a request, others up to some 10,000.
pub const ENTRIES_MAX: usize = 1 << 20;

/// Entries of each kind whose memory is kept from request to request.
const ENTRIES_KEPT_MAX: usize = 1 << 17;

/// Why a body is no write request at all. Nothing of such a body is used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error(
        "body is not the remote-write message that its content-type names: {what} at byte {at}"
    )]
    Broken { what: &'static str, at: usize },
    #[error("body has more than {limit} {what}: send smaller requests")]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "labels of the body take more than {limit} bytes when its references are followed (limits.body_raw): send smaller requests"
    )]
    LabelsTooLarge { limit: usize },
}

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch; may be negative.
    pub timestamp_ms: i64,
    pub value: f64,
}

/// A range of bytes in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        &body[self.start as usize..(self.start + self.len) as usize]
    }
}

/// One series entry: its canonical label bytes and its samples.
///
/// *Canonical label bytes* are the protobuf encoding of the labels as remote write 1.0 has them
/// (`0a len 0a len name 12 len value` each), sorted by name bytewise, without duplicates and without
/// empty values, lengths as minimal varints, valid UTF-8. A sender that behaves sends exactly these
/// bytes, so they are used where they lie; for any other sender they are rebuilt behind the body.
/// Equal label sets have equal canonical bytes, on every protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesSpan {
    /// Where the canonical label bytes lie in the body buffer.
    pub labels: Span,
    /// Where the value of `__name__` lies in the body buffer.
    pub name: Span,
    /// First sample of this entry in [`WriteArena::samples`].
    pub samples_start: u32,
    /// One past its last sample.
    pub samples_end: u32,
    /// First native histogram of this entry in [`WriteArena::histograms`].
    pub histograms_start: u32,
    /// One past its last native histogram.
    pub histograms_end: u32,
}

/// One native histogram, checked and left where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistogramSpan {
    /// The bytes of its message in the body: `prometheus.Histogram` or
    /// `io.prometheus.write.v2.Histogram`, whose common fields have the same numbers.
    pub message: Span,
    /// Milliseconds since the Unix epoch; may be negative.
    pub timestamp_ms: i64,
    /// When it started to count, as for [`SampleStart`]; 0 if that is not known.
    pub start_ms: i64,
}

/// When a sample's counter or histogram started to count (2.0: created or start timestamp). Few
/// senders say it, so it is kept beside the samples and not in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleStart {
    /// Index in [`WriteArena::samples`].
    pub sample: u32,
    /// Milliseconds since the Unix epoch; never 0 and not after the sample's time.
    pub start_ms: i64,
}

/// One exemplar that is kept (see [`super::exemplar`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExemplarSpan {
    /// The canonical label bytes of its series, in the body buffer.
    pub series: Span,
    /// Where the value of `__name__` of its series lies.
    pub name: Span,
    /// Its own labels, in the form of canonical label bytes.
    pub labels: Span,
    /// Milliseconds since the Unix epoch; may be negative, and 0 where a sender gave none.
    pub timestamp_ms: i64,
    /// Any value, NaN too.
    pub value: f64,
}

/// Metric types of remote write; the numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum MetricType {
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    GaugeHistogram = 4,
    Summary = 5,
    Info = 6,
    StateSet = 7,
}

impl MetricType {
    /// The type with this number on the wire; numbers from the future count as unknown.
    pub fn from_wire(n: u64) -> Self {
        match n {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }
}

/// Metadata of one metric family (1.0 sends it in requests of its own, 2.0 with every series).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSpan {
    pub family: Span,
    pub kind: MetricType,
}

/// Why one series of a request was refused while the rest was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No `__name__`, or an empty one.
    MissingName,
    /// The same label name twice.
    DuplicateLabel,
    /// A label without a name.
    EmptyLabelName,
    /// A name or value that is not UTF-8.
    InvalidUtf8,
    /// More labels than `limits.labels_per_series`.
    TooManyLabels,
    /// A name longer than `limits.label_name_bytes` or a value longer than `limits.label_value_bytes`.
    LabelTooLong,
    /// A label, an exemplar, a help text or a unit refers to no symbol, or a name has no value (2.0).
    BadReference,
    /// A native histogram that contradicts itself, or is of a kind that the protocol does not have.
    BadHistogram(&'static str),
    /// A sample more than ten minutes ahead of the clock.
    FarFuture,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingName => "missing metric name",
            Self::DuplicateLabel => "duplicate label name",
            Self::EmptyLabelName => "empty label name",
            Self::InvalidUtf8 => "label is not valid utf-8",
            Self::TooManyLabels => "too many labels",
            Self::LabelTooLong => "label name or value too long",
            Self::BadReference => "reference to no symbol",
            Self::BadHistogram(why) => why,
            Self::FarFuture => "sample is too far in the future",
        }
    }
}

/// What a refused series had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    pub samples: u32,
    pub histograms: u32,
    pub exemplars: u32,
}

/// Series refused in one request: all are counted, the first few are named.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Series refused in all.
    pub series: u32,
    /// Samples lost with them.
    pub samples: u32,
    /// Native histograms lost with them.
    pub histograms: u32,
    /// Exemplars lost with them.
    pub exemplars: u32,
    /// Reason and the series' labels as text, for the first [`Refusals::NAMED_MAX`].
    pub named: Vec<(Refusal, String)>,
}

impl Refusals {
    /// Senders log at most 1 KiB of an answer: more names would be cut off.
    pub const NAMED_MAX: usize = 3;

    /// Counts one refused series; `series` renders its labels and is only called while names are
    /// still wanted.
    pub fn add(&mut self, why: Refusal, lost: Lost, series: impl FnOnce() -> String) {
        self.series += 1;
        self.samples += lost.samples;
        self.histograms += lost.histograms;
        self.exemplars += lost.exemplars;
        if self.named.len() < Self::NAMED_MAX {
            self.named.push((why, series()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.series == 0
    }

    pub fn clear(&mut self) {
        self.series = 0;
        self.samples = 0;
        self.histograms = 0;
        self.exemplars = 0;
        self.named.clear();
    }
}

/// One decoded request, reused from request to request.
#[derive(Debug, Default)]
pub struct WriteArena {
    /// What the request was in; set by the decoder.
    pub protocol: Protocol,
    pub series: Vec<SeriesSpan>,
    pub samples: Vec<Sample>,
    pub metadata: Vec<MetadataSpan>,
    pub histograms: Vec<HistogramSpan>,
    /// Start timestamps, in order of their samples.
    pub starts: Vec<SampleStart>,
    /// Exemplars seen; counted as accepted, whether they are kept or not.
    pub exemplars: u32,
    /// The exemplars that are kept, in order of their series.
    pub exemplar_spans: Vec<ExemplarSpan>,
    pub refused: Refusals,
    /// What the 2.0 decoder works with; of no meaning to others.
    pub scratch: Scratch,
}

impl WriteArena {
    /// Empties the arena and keeps its memory.
    pub fn clear(&mut self) {
        self.series.clear();
        self.samples.clear();
        self.metadata.clear();
        self.histograms.clear();
        self.starts.clear();
        self.exemplars = 0;
        self.exemplar_spans.clear();
        self.refused.clear();
    }

    /// Empties it for a request, and gives memory back that only a giant one needed.
    pub(super) fn begin(&mut self, protocol: Protocol) {
        self.clear();
        self.protocol = protocol;
        let Self {
            series,
            samples,
            metadata,
            histograms,
            starts,
            ..
        } = self;
        shrink(series);
        shrink(samples);
        shrink(metadata);
        shrink(histograms);
        shrink(starts);
    }

    /// Bytes that it holds, empty or not.
    pub fn capacity_bytes(&self) -> usize {
        self.series.capacity() * size_of::<SeriesSpan>()
            + self.samples.capacity() * size_of::<Sample>()
            + self.metadata.capacity() * size_of::<MetadataSpan>()
            + self.histograms.capacity() * size_of::<HistogramSpan>()
            + self.starts.capacity() * size_of::<SampleStart>()
            + self.exemplar_spans.capacity() * size_of::<ExemplarSpan>()
            + self.scratch.capacity_bytes()
    }
}

/// Gives back what is beyond [`ENTRIES_KEPT_MAX`]; what is in it must be done with.
pub(super) fn shrink<T>(entries: &mut Vec<T>) {
    entries.clear();
    if entries.capacity() > ENTRIES_KEPT_MAX {
        entries.shrink_to(ENTRIES_KEPT_MAX);
    }
}

/// What a decoder will take of one series.
#[derive(Debug, Clone, Copy)]
pub struct LabelLimits {
    pub labels_per_series: usize,
    pub name_bytes: usize,
    pub value_bytes: usize,
}
