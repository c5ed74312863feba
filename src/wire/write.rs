//! The arena that every remote-write decoder fills.
//!
//! One request becomes flat vectors: samples, and series as ranges into them and into the bytes of
//! the decompressed body. A protocol version is one file that fills this arena; all that comes
//! after works on the arena alone. The vectors are reused, so a warm decoder allocates nothing.

/// The bits of the NaN that ends a series (Prometheus, `model/value`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// True for the staleness marker alone. Any other NaN is an ordinary sample.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramSpan {
    /// The bytes of its message in the body: `prometheus.Histogram` or
    /// `io.prometheus.write.v2.Histogram`, whose common fields have the same numbers.
    pub message: Span,
    /// Milliseconds since the Unix epoch; may be negative.
    pub timestamp_ms: i64,
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

/// Metadata of one metric family (1.0 sends it in requests of its own).
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
            Self::FarFuture => "sample is too far in the future",
        }
    }
}

/// Series refused in one request: all are counted, the first few are named.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Series refused in all.
    pub series: u32,
    /// Samples lost with them.
    pub samples: u32,
    /// Reason and the series' labels as text, for the first [`Refusals::NAMED_MAX`].
    pub named: Vec<(Refusal, String)>,
}

impl Refusals {
    /// Senders log at most 1 KiB of an answer: more names would be cut off.
    pub const NAMED_MAX: usize = 3;

    /// Counts one refused series; `series` renders its labels and is only called while names are
    /// still wanted.
    pub fn add(&mut self, why: Refusal, samples: u32, series: impl FnOnce() -> String) {
        self.series += 1;
        self.samples += samples;
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
        self.named.clear();
    }
}

/// One decoded request, reused from request to request.
#[derive(Debug, Default)]
pub struct WriteArena {
    pub series: Vec<SeriesSpan>,
    pub samples: Vec<Sample>,
    pub metadata: Vec<MetadataSpan>,
    pub histograms: Vec<HistogramSpan>,
    /// Start timestamps, in order of their samples.
    pub starts: Vec<SampleStart>,
    /// Exemplars seen; counted as accepted, not kept yet.
    pub exemplars: u32,
    pub refused: Refusals,
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
        self.refused.clear();
    }
}

/// What a decoder will take of one series.
#[derive(Debug, Clone, Copy)]
pub struct LabelLimits {
    pub labels_per_series: usize,
    pub name_bytes: usize,
    pub value_bytes: usize,
}
