//! Native histograms in answers. One that cannot be read is left out with its series' others; the
//! rest of the answer is as good as before.

use prost::Message as _;

use crate::window::encoding::Encoding;
use crate::window::histogram_chunk;
use crate::wire::histogram::{self, NativeHistogram};
use crate::wire::proto;

/// The histogram of a series in the form SAMPLES; `None` if it is none.
pub(super) fn of_message(message: &proto::Histogram) -> Option<NativeHistogram> {
    let bytes = message.encode_to_vec();
    histogram::check(&bytes, 1).ok()?;
    let mut decoded = NativeHistogram::default();
    histogram::decode_into(&bytes, &mut decoded).ok()?;
    Some(decoded)
}

/// The histograms of a chunk of type 2 or 3; `None` if it cannot be read.
pub(super) fn of_chunk(encoding: Encoding, bytes: &[u8]) -> Option<Vec<NativeHistogram>> {
    histogram_chunk::decode(bytes, encoding).ok()
}
