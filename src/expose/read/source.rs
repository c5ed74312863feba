//! Where series and their samples come from.
//!
//! That is the raw windows, and with them the series that are computed from them (scores, bands): see
//! [`super::computed`]. Whatever answers these two questions can be read.

use std::future::Future;
use std::sync::Arc;

use crate::engine::ask::{AskError, Found, Reader, WindowChunk};
use crate::series::matcher::Selector;

/// Answers which series there are, and with what samples.
pub(super) trait Source: Clone + Send + Sync + 'static {
    /// A series that was found.
    type Series: Send + Sync + 'static;

    /// Its canonical label bytes.
    fn labels(series: &Self::Series) -> &[u8];

    /// Series that match and may have samples in the range, in any order.
    fn select(
        &self,
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self::Series>, AskError>> + Send;

    /// The chunks of each series that have samples in the range, in order of time and without a
    /// sample twice. They may reach beyond the range.
    fn windows(
        &self,
        of: &[Self::Series],
        from_ms: i64,
        to_ms: i64,
    ) -> impl Future<Output = Result<Vec<Vec<WindowChunk>>, AskError>> + Send;
}

impl Source for Reader {
    type Series = Found;

    fn labels(series: &Found) -> &[u8] {
        &series.labels
    }

    async fn select(
        &self,
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Found>, AskError> {
        Reader::select(self, selector, from_ms, to_ms, limit).await
    }

    async fn windows(
        &self,
        of: &[Found],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Vec<WindowChunk>>, AskError> {
        Reader::windows(self, of, from_ms, to_ms).await
    }
}
