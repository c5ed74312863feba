//! What travels from a request to a shard: rows that point into one shared body.

use std::sync::Arc;

use crate::wire::snappy::PooledBody;
use crate::wire::write::{MetricType, Protocol, Span};

/// One sample on its way to its series.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// xxh3-64 of the canonical label bytes.
    pub fingerprint: u64,
    /// The canonical label bytes, in the batch's body.
    pub labels: Span,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// One native histogram on its way to its series.
#[derive(Debug, Clone, Copy)]
pub struct HistogramRow {
    /// xxh3-64 of the canonical label bytes.
    pub fingerprint: u64,
    /// The canonical label bytes, in the batch's body.
    pub labels: Span,
    pub timestamp_ms: i64,
    /// Its message, in the batch's body; the decoder has checked it.
    pub message: Span,
}

/// One exemplar on its way to who remembers it.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarRow {
    /// Of its series, see [`crate::series::family::home`].
    pub home: u64,
    /// Its own labels, in the batch's body.
    pub labels: Span,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// The rows of one request that belong to one shard, in the order in which they were sent.
#[derive(Debug)]
pub struct Batch {
    /// The decompressed request; back in its pool when the last shard has dropped it.
    pub body: Arc<PooledBody>,
    pub rows: Vec<Row>,
    /// Samples of series that are kept in the window and have no model of their own.
    pub plain: Vec<Row>,
    pub histograms: Vec<HistogramRow>,
    /// Start timestamps: (index in `rows`, milliseconds), in order.
    pub starts: Vec<(u32, i64)>,
    /// Of all partitions of the shard, those that have the request already included.
    pub exemplars: Vec<ExemplarRow>,
    /// What the request was in; its samples are counted under it.
    pub protocol: Protocol,
    /// Wall clock when the request arrived, in milliseconds.
    pub received_ms: i64,
    /// Number of the request's record in the journal, or of the newest before it.
    pub seq: u64,
    /// Number of the record among those that are told to groups; 0: it is not.
    pub order: u64,
    /// It was received by an earlier process: its samples are not counted as received again.
    pub replayed: bool,
}

impl Batch {
    /// True if there is nothing to do for the shard.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.plain.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
    }
}

/// Metadata of the families of one request; every shard gets all of it.
#[derive(Debug, Clone)]
pub struct Families {
    pub all: Arc<[(Box<str>, MetricType)]>,
    /// As in a [`Batch`].
    pub seq: u64,
}
