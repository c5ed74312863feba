//! Collects a request body within limits.
//!
//! What always holds: one body takes at most `limits.body` bytes, and all bodies that are being
//! collected together at most [`TOGETHER`] times that, however many connections send them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies of the full size that may be collected at once. Real ones are a hundredth of that size, so
/// this leaves room for hundreds of senders.
const TOGETHER: usize = 4;

/// What is counted at once of the room for all bodies.
const UNIT: usize = 16 * 1024;

/// Why there is no body to decode.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("body is larger than {0} bytes, the limit of limits.body: send smaller batches")]
    TooLarge(usize),
    #[error("body is empty: send a snappy block, which has at least one byte")]
    Empty,
    #[error("body could not be read: {0}")]
    Broken(String),
    #[error("too many large bodies at once")]
    NoRoom,
}

/// A body and its share of the room for all of them.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Takes bodies in, within the limits.
#[derive(Debug)]
pub(super) struct Collector {
    max: usize,
    room: Arc<Semaphore>,
}

impl Collector {
    /// `max` bytes for one body.
    pub(super) fn new(max: usize) -> Self {
        let units = max
            .div_ceil(UNIT)
            .saturating_mul(TOGETHER)
            .clamp(1, Semaphore::MAX_PERMITS);
        Self {
            max,
            room: Arc::new(Semaphore::new(units)),
        }
    }

    /// Reads the body to its end. What a sender declares is only used to refuse, never to allocate.
    pub(super) async fn collect(&self, mut body: Body) -> Result<Collected, BodyError> {
        if body.size_hint().lower() > self.max as u64 {
            return Err(BodyError::TooLarge(self.max));
        }
        let mut room: Option<OwnedSemaphorePermit> = None;
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| BodyError::Broken(e.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue; // trailers
            };
            let total = first.len() + more.len() + data.len();
            if total > self.max {
                return Err(BodyError::TooLarge(self.max));
            }
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = u32::try_from(total.div_ceil(UNIT) - held).unwrap_or(u32::MAX);
            if missing > 0 {
                let permit = Arc::clone(&self.room)
                    .try_acquire_many_owned(missing)
                    .map_err(|_| BodyError::NoRoom)?;
                match &mut room {
                    Some(room) => room.merge(permit),
                    None => room = Some(permit),
                }
            }
            // Most bodies come in one piece and are never copied.
            if total == data.len() {
                first = data;
                continue;
            }
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&data);
        }
        let bytes = if more.is_empty() {
            first
        } else {
            more.freeze()
        };
        if bytes.is_empty() {
            return Err(BodyError::Empty);
        }
        Ok(Collected { bytes, _room: room })
    }
}

/// What is read and thrown away of a request that was refused by its headers, so that its connection
/// can be used again; more is not worth the time.
const DISCARD_MAX: usize = 256 * 1024;

/// How long that may take.
const DISCARD_WAIT: Duration = Duration::from_secs(1);

/// Throws a refused body away if it is small. A sender that waits for `100 Continue` has sent none.
pub(super) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT) || body.size_hint().lower() > DISCARD_MAX as u64 {
        return;
    }
    let mut read = 0;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARD_MAX {
                break;
            }
        }
    };
    // Whether it worked does not matter: the answer is the same.
    let _ = tokio::time::timeout(DISCARD_WAIT, all).await;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// A body in pieces, as a chunked request has it.
    struct Pieces(VecDeque<&'static [u8]>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.pop_front();
            Poll::Ready(piece.map(|p| Ok(Frame::data(Bytes::from_static(p)))))
        }
    }

    fn pieces<const N: usize>(pieces: [&'static [u8]; N]) -> Body {
        Body::new(Pieces(pieces.into()))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order_up_to_the_limit() {
        let collector = Collector::new(6);
        let body = pieces([b"", b"ab", b"", b"cd", b"ef"]);
        let collected = collector.collect(body).await.unwrap();
        assert_eq!(&collected.bytes[..], b"abcdef");
        let over = collector.collect(pieces([b"abc", b"def", b"g"])).await;
        assert!(matches!(over, Err(BodyError::TooLarge(6))));
        let declared = collector.collect(Body::from("abcdefg")).await;
        assert!(matches!(declared, Err(BodyError::TooLarge(6))));
        let empty = collector.collect(pieces([b""])).await;
        assert!(matches!(empty, Err(BodyError::Empty)));
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_limit_and_give_their_room_back() {
        let collector = Collector::new(UNIT);
        let mut held = Vec::new();
        for _ in 0..TOGETHER {
            held.push(collector.collect(pieces([b"ab", b"c"])).await.unwrap());
        }
        let refused = collector.collect(pieces([b"a"])).await;
        assert!(matches!(refused, Err(BodyError::NoRoom)));
        held.pop();
        assert!(collector.collect(pieces([b"a"])).await.is_ok());
    }
}
