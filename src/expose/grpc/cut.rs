//! The body of a stream that ends when saimon does.
//!
//! A stream may last for ever, and a connection with one open is not done. So after the stop signal the
//! client is told with a status, and may come back to whoever is there then.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// A body that is cut off by a signal.
pub(super) struct Cut {
    /// `None` after the end.
    body: Option<Body>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Its place among the streams.
    _place: OwnedSemaphorePermit,
}

impl Cut {
    pub(super) fn new(
        body: Body,
        shutdown: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            body: Some(body),
            shutdown: Box::pin(shutdown.cancelled_owned()),
            _place: place,
        }
    }
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            if frame.is_none() {
                this.body = None;
            }
            return Poll::Ready(frame);
        }
        if this.shutdown.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.body = None;
        let mut trailers = http::HeaderMap::new();
        let stopping = Status::unavailable("saimon is stopping: connect again");
        let written = stopping.add_header(&mut trailers);
        Poll::Ready(written.is_ok().then(|| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
