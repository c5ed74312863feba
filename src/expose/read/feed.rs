//! The body of a long answer, made while it is sent.
//!
//! A task puts pieces into a [`Feed`], the connection takes them out. What always holds: a body whose
//! feed was dropped before its end fails, so that the connection is cut and nobody takes the part for
//! the whole (conformance 85); at most one small piece waits in a body, so a client that does not read
//! holds next to nothing; a feed that nobody takes from gives up after a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 64 * 1024;

enum Piece {
    Data(Bytes),
    End,
}

/// The client went away, or takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// The sending end. Dropping it before [`Feed::end`] makes the body fail.
#[derive(Debug)]
pub(super) struct Feed {
    pieces: mpsc::Sender<Piece>,
    wait: Duration,
}

/// A feed and the body of its pieces, of `len` bytes if that is known. A piece that is not taken for
/// `wait` ends the feed.
pub(super) fn feed(wait: Duration, len: Option<usize>) -> (Feed, Body) {
    let (pieces, taken) = mpsc::channel(1);
    let body = Pieces {
        taken,
        left: len.map(|n| n as u64),
    };
    (Feed { pieces, wait }, Body::new(body))
}

impl Feed {
    /// Sends all of these bytes.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Gone> {
        for piece in bytes.chunks(PIECE) {
            // Copied, because a piece of the whole would keep the whole in memory.
            self.put(Piece::Data(Bytes::copy_from_slice(piece))).await?;
        }
        Ok(())
    }

    /// Says that the body is complete.
    pub(super) async fn end(self) -> Result<(), Gone> {
        self.put(Piece::End).await
    }

    async fn put(&self, piece: Piece) -> Result<(), Gone> {
        match tokio::time::timeout(self.wait, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

struct Pieces {
    taken: mpsc::Receiver<Piece>,
    left: Option<u64>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.taken.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Data(bytes)) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::End) => None,
            None => Some(Err(io::Error::other("the answer was given up half-way"))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn pieces_come_out_in_order_and_the_end_is_an_end() {
        let (feed, body) = feed(WAIT, None);
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|i| (i / 7) as u8).collect();
        let wanted = bytes.clone();
        let sent = tokio::spawn(async move {
            feed.send(&bytes).await?;
            feed.end().await
        });
        assert_eq!(body.collect().await.unwrap().to_bytes(), wanted);
        assert_eq!(sent.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_feed_that_is_dropped_early_is_an_error_and_no_end() {
        let (feed, mut body) = feed(WAIT, None);
        feed.send(b"ab").await.unwrap();
        drop(feed);
        assert_eq!(
            &body.frame().await.unwrap().unwrap().into_data().unwrap()[..],
            b"ab"
        );
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_or_is_gone_ends_the_feed() {
        let (stuck, body) = feed(Duration::from_millis(5), Some(7));
        assert_eq!(stuck.send(&vec![0; 3 * PIECE]).await, Err(Gone));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(7));
        let (left, body) = feed(WAIT, None);
        drop(body);
        assert_eq!(left.send(b"ab").await, Err(Gone));
    }
}
