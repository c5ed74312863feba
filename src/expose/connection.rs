//! One accepted connection: its bytes, and how long it may keep us waiting.
//!
//! hyper has a deadline for the headers of a request, and nothing for a peer that sends nothing at
//! all, that stops half-way through the HTTP/2 preface, or that never reads its answer. So the first
//! bytes are read here, and writing has a deadline of its own. Between two requests a connection may
//! be idle for longer than a header may take: [`HeadTimer`] tells the two apart.
//!
//! What always holds: a connection whose peer is silent ends after a named time, in every state.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::stream::Stream;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection may lie idle between two requests: twice the scrape interval that
/// Prometheus has by default, so that a scraper keeps its connection.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// Which protocol the first bytes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A socket with the bytes that were read to find out its protocol put back in front.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    first: Bytes,
    activity: Arc<AtomicBool>,
    write_wait: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Reads until it is clear which protocol this is; `None` if the peer leaves first.
    /// A write that makes no progress for `write_wait` ends the connection.
    pub(super) async fn open(
        mut stream: Stream,
        write_wait: Duration,
    ) -> io::Result<Option<(Self, Version)>> {
        let mut first = Vec::with_capacity(H2_PREFACE.len());
        let version = loop {
            let mut some = [0_u8; H2_PREFACE.len()];
            let room = H2_PREFACE.len() - first.len();
            let n = stream.read(&mut some[..room]).await?;
            if n == 0 {
                return Ok(None);
            }
            first.extend_from_slice(&some[..n]);
            if !H2_PREFACE.starts_with(&first) {
                break Version::Http1;
            }
            if first.len() == H2_PREFACE.len() {
                break Version::Http2;
            }
        };
        let connection = Self {
            stream,
            first: first.into(),
            activity: Arc::new(AtomicBool::new(false)),
            write_wait,
            stalled: None,
        };
        Ok(Some((connection, version)))
    }

    /// The timer to give to hyper for this connection; `head_wait` is how long a head may take once
    /// its first byte is there.
    pub(super) fn head_timer(&self, head_wait: Duration) -> HeadTimer {
        HeadTimer {
            activity: Arc::clone(&self.activity),
            head_wait,
        }
    }

    /// Runs one write and watches that the peer takes something now and then.
    fn write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.stream), cx) {
            self.stalled = None;
            return Poll::Ready(done);
        }
        let wait = self.write_wait;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "peer does not read its answer",
        )))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.has_remaining() {
            let n = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first.split_to(n));
        } else {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        this.activity.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write_with(cx, |s, cx| s.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .write_with(cx, |s, cx| s.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write_with(cx, |s, cx| s.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write_with(cx, |s, cx| s.poll_shutdown(cx))
    }
}

/// Gives hyper's one deadline for "the next head" two lengths: the idle one until the first byte of
/// the head, the short one from there on.
#[derive(Debug, Clone)]
pub(super) struct HeadTimer {
    /// Set by the connection whenever bytes arrive; cleared when waiting for a head begins.
    activity: Arc<AtomicBool>,
    head_wait: Duration,
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.activity.store(false, Ordering::Relaxed);
        Box::pin(HeadDeadline {
            timer: self.clone(),
            head_begun: false,
            sleep: Box::pin(tokio::time::sleep(IDLE_MAX)),
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(self.head_wait)
    }
}

struct HeadDeadline {
    timer: HeadTimer,
    head_begun: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadDeadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.head_begun && self.timer.activity.load(Ordering::Relaxed) {
            self.head_begun = true;
            self.sleep = Box::pin(tokio::time::sleep(self.timer.head_wait));
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for HeadDeadline {}
