//! One writer: sends a request until it is taken, refused for good, or given up.
//!
//! What always holds: a request is not begun before the last one has ended, so what goes through one
//! sender arrives in order; the bytes of a request are the same however often they are sent; what is
//! lost is reported to the [`Watch`] and said in the log, at most one line every [`SAY_EVERY`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Protocol;
use super::answer::{SAMPLES_WRITTEN, Verdict, judge};
use super::headers::Headers;
use super::request::{Encoder, Request};
use super::transport::Transport;
use crate::clock::Clock;

/// Pauses between attempts, doubling from the one to the other: Prometheus' defaults.
pub const BACK_OFF: (Duration, Duration) = (Duration::from_millis(30), Duration::from_secs(5));
/// An attempt without an answer by then has failed: Prometheus' `remote_timeout`.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The same once the sender was told to stop.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// What is lost is said in the log this often at most: with a broken receiver each request is.
pub const SAY_EVERY: Duration = Duration::from_secs(10);

/// What a user decides.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long one request is repeated; `None`: for ever, as Prometheus does.
    pub retry_for: Option<Duration>,
    /// Pauses between attempts: the first, and the longest, to which they double.
    pub back_off: (Duration, Duration),
    /// Whoever sends keeps what was given up because the sender was told to stop.
    pub kept: bool,
    /// What is answered with 429 is sent again. Prometheus drops it unless told otherwise.
    pub retry_on_429: bool,
    /// A receiver that does not take 2.0 is sent 1.0 from then on.
    pub fall_back: bool,
    /// How long an answer may take.
    pub answer_wait: Duration,
    pub headers: Headers,
    pub user_agent: HeaderValue,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            retry_for: None,
            back_off: BACK_OFF,
            kept: false,
            retry_on_429: false,
            fall_back: false,
            answer_wait: ANSWER_WAIT,
            headers: Headers::default(),
            user_agent: HeaderValue::from_static(concat!("saimon/", env!("CARGO_PKG_VERSION"))),
        }
    }
}

/// One attempt, after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// `None` if there was no answer.
    pub status: Option<u16>,
    /// Compressed bytes of the body.
    pub bytes: usize,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
    /// It was not the first with these bytes.
    pub again: bool,
}

/// How it ended with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Taken, all of it.
    Written,
    /// Answered with 2xx, and yet not all of it was written (2.0 only).
    Short,
    /// Refused for good, with this status.
    Refused(u16),
    /// Given up after `retry_for`, or because the sender was to stop.
    GivenUp,
    /// The receiver does not take 2.0 and may not be sent 1.0.
    NotSpoken,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub end: End,
    /// Samples that the receiver has.
    pub written: usize,
    /// Samples that it does not have and will not be sent again.
    pub lost: usize,
}

/// Looks on, and counts.
pub trait Watch: Send + Sync {
    fn begun(&self, _: &Request) {}
    fn attempted(&self, _: &Attempt) {}
    /// An attempt failed, or something was lost, for this reason.
    fn failed(&self, _: &str) {}
    fn ended(&self, _: &Request, _: &Sent) {}
}

/// Whether receivers still are to be sent 2.0; shared by all who make requests for one receiver.
#[derive(Debug, Default)]
pub struct Spoken(AtomicBool);

impl Spoken {
    /// The protocol to use where `wanted` was.
    pub fn instead_of(&self, wanted: Protocol) -> Protocol {
        if self.0.load(Ordering::Relaxed) {
            Protocol::V1
        } else {
            wanted
        }
    }
}

/// Sends to one receiver, one request after the other.
pub struct Sender<T> {
    transport: T,
    rules: Rules,
    watch: Arc<dyn Watch>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    spoken: Arc<Spoken>,
    encoder: Encoder,
    said: Said,
}

impl<T: Transport> Sender<T> {
    /// After `stop` a request is tried once and no more.
    pub fn new(
        transport: T,
        rules: Rules,
        watch: Arc<dyn Watch>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        spoken: Arc<Spoken>,
    ) -> Self {
        Self {
            transport,
            rules,
            watch,
            clock,
            stop,
            spoken,
            encoder: Encoder::new(),
            said: Said::default(),
        }
    }

    /// Sends one request to its end.
    pub async fn send(&mut self, request: &Request) -> Sent {
        self.watch.begun(request);
        let (end, written) = self.deliver(request).await;
        let sent = Sent {
            end,
            written,
            lost: request.samples - written,
        };
        self.watch.ended(request, &sent);
        sent
    }

    async fn deliver(&mut self, request: &Request) -> (End, usize) {
        let mut request = request.clone();
        if self.spoken.instead_of(request.protocol) != request.protocol
            && !self.make_again(&mut request)
        {
            return (End::NotSpoken, 0);
        }
        let (mut attempt, mut spent) = (0_u32, Duration::ZERO);
        let (mut back_off, longest) = self.rules.back_off;
        loop {
            let since = Instant::now();
            let (verdict, status, text) = self.attempt(&request, attempt).await;
            spent += since.elapsed();
            attempt += 1;
            match verdict {
                Verdict::Written => return (End::Written, request.samples),
                // It read 2.0 as 1.0 and found nothing in it (protocol 2.0, "required written response
                // headers"): nothing of it is there, so it is sent again as what that receiver knows.
                Verdict::Short { written: None }
                    if self.rules.fall_back && self.make_again(&mut request) =>
                {
                    self.falls_back();
                    attempt = 0;
                }
                Verdict::Short { written } => {
                    let what = short(&request, written);
                    self.lost(&what, request.samples - written.unwrap_or(0));
                    return (End::Short, written.unwrap_or(0));
                }
                Verdict::Refused { written } => {
                    let what = format!("{status}: {text}");
                    self.lost(&what, request.samples - written);
                    return (End::Refused(status), written);
                }
                Verdict::NotSpoken => {
                    if !self.rules.fall_back || !self.make_again(&mut request) {
                        let what = "the receiver does not take remote write 2.0 (415): send 1.0, or allow falling back to it";
                        self.lost(what, request.samples);
                        return (End::NotSpoken, 0);
                    }
                    self.falls_back();
                    attempt = 0;
                }
                Verdict::Again { after } => {
                    self.watch.failed(&text);
                    let pause = after.unwrap_or(back_off);
                    back_off = (back_off * 2).min(longest);
                    let too_long = |limit| spent + pause > limit;
                    if self.stop.is_cancelled() && self.rules.kept {
                        return (End::GivenUp, 0);
                    }
                    if self.stop.is_cancelled() || self.rules.retry_for.is_some_and(too_long) {
                        self.lost(&format!("given up: {text}"), request.samples);
                        return (End::GivenUp, 0);
                    }
                    spent += pause;
                    // After the stop there is one more attempt: the last chance for these samples.
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = self.transport.pause(pause) => {}
                    }
                }
            }
        }
    }

    fn falls_back(&self) {
        if !self.spoken.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("the receiver does not take remote write 2.0, sending 1.0 instead");
        }
    }

    /// The same samples as 1.0. False if that cannot be done.
    fn make_again(&mut self, request: &mut Request) -> bool {
        match self.encoder.as_v1(request) {
            Ok(again) => *request = again,
            Err(err) => {
                self.lost(&err.to_string(), request.samples);
                return false;
            }
        }
        true
    }

    async fn attempt(&self, request: &Request, attempt: u32) -> (Verdict, u16, String) {
        let headers = self.headers(request.protocol, attempt);
        let wait = if self.stop.is_cancelled() {
            LAST_WAIT.min(self.rules.answer_wait)
        } else {
            self.rules.answer_wait
        };
        let since = Instant::now();
        let post = self.transport.post(headers, request.body.clone());
        let answer = match tokio::time::timeout(wait, post).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {wait:?}")),
        };
        self.watch.attempted(&Attempt {
            status: answer.as_ref().ok().map(|a| a.status.as_u16()),
            bytes: request.body.len(),
            took: since.elapsed(),
            again: attempt > 0,
        });
        match answer {
            Ok(answer) => {
                let again = self.rules.retry_on_429;
                let verdict = judge(&answer, request, again, self.clock.now_ms());
                let status = answer.status.as_u16();
                let text = match verdict {
                    Verdict::Again { .. } => format!("{status}: {}", answer.text),
                    _ => answer.text,
                };
                (verdict, status, text)
            }
            Err(what) => (Verdict::Again { after: None }, 0, what),
        }
    }

    /// Headers of the user first, so that none of them can take the place of ours.
    fn headers(&self, protocol: Protocol, attempt: u32) -> HeaderMap {
        let (content_type, version) = protocol.headers();
        let mut headers = self.rules.headers.map().clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(VERSION, HeaderValue::from_static(version));
        headers.insert(header::USER_AGENT, self.rules.user_agent.clone());
        if attempt > 0 {
            headers.insert(ATTEMPT, attempt.into());
        }
        headers
    }

    fn lost(&mut self, what: &str, samples: usize) {
        self.watch.failed(what);
        if let Some(kept_back) = self.said.due(Instant::now()) {
            tracing::warn!(
                samples,
                similar_left_out = kept_back,
                "samples lost: {what}"
            );
        }
    }
}

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");

fn short(request: &Request, written: Option<usize>) -> String {
    match written {
        Some(n) => format!(
            "the receiver took the request and wrote {n} of {} samples",
            request.samples
        ),
        None => format!(
            "the receiver took a 2.0 request without {SAMPLES_WRITTEN}: it probably read it as 1.0 and lost it, send 1.0"
        ),
    }
}

/// Keeps a log from being flooded.
#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    kept_back: u64,
}

impl Said {
    /// Lines kept back since the last one, if it is time for another.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < SAY_EVERY) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests;
