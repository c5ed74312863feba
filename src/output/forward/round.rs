//! The making of a round: a stretch of the queue as requests.

use std::pin::Pin;
use std::task::Poll;

use crate::engine::tap::rows;
use crate::output::Protocol;
use crate::output::queue::Reader;
use crate::output::request::{Encoder, Request};
use crate::output::scores::{Sample, Shape};
use crate::series::fingerprint::fingerprint;

/// Records in one round at most: they may hold next to nothing once labels were looked at.
const RECORDS_MAX: usize = 1_000;

/// Makes rounds; keeps its buffers for the next one.
pub(super) struct Maker {
    pub(super) reader: Reader,
    pub(super) shape: Shape,
    pub(super) encoder: Encoder,
    pub(super) request_max: usize,
    /// 0: samples of any age are sent.
    pub(super) age_max_ms: i64,
}

/// What is to be sent together.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Requests of each lane, in order.
    pub(super) lanes: Vec<Vec<Request>>,
    /// Of the newest sample.
    pub(super) newest_ms: Option<i64>,
    /// Rows that were given up because too many waited.
    pub(super) full: u64,
    pub(super) damaged: u64,
    /// Samples that were too old.
    pub(super) aged: u64,
    /// Samples whose labels nobody takes.
    pub(super) unfit: u64,
}

impl Maker {
    /// The next round, of what is there, or up to a row; written down as under way.
    pub(super) fn round(
        &mut self,
        protocol: Protocol,
        lanes: usize,
        until_row: Option<u64>,
        now_ms: i64,
    ) -> std::io::Result<Round> {
        let lanes = lanes.max(1);
        let mut round = Round::default();
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); lanes];
        let oldest_ms = match self.age_max_ms {
            0 => i64::MIN,
            max => now_ms.saturating_sub(max),
        };
        let enough = lanes * self.request_max;
        let mut made = Vec::new();
        let mut records = 0;
        while records < RECORDS_MAX && samples.iter().map(Vec::len).sum::<usize>() < enough {
            if until_row.is_some_and(|until| self.reader.row() >= until) {
                break;
            }
            let met = self.reader.advance()?;
            round.full += met.full;
            round.damaged += met.damaged;
            let Some(record) = met.record else {
                break;
            };
            records += 1;
            for row in rows(&record.rows) {
                let Ok(row) = row else {
                    round.damaged += 1;
                    break;
                };
                made.clear();
                round.unfit += self.shape.samples(&row, &mut made);
                if row.t_ms < oldest_ms {
                    round.aged += made.len() as u64;
                    continue;
                }
                if row.score.is_some() && !made.is_empty() {
                    round.newest_ms = round.newest_ms.max(Some(row.t_ms));
                }
                // By the source: all series that are made of it go the same way.
                let lane = (fingerprint(row.labels) % lanes as u64) as usize;
                samples[lane].append(&mut made);
            }
        }
        self.reader.intend(lanes as u32)?;
        let (encoder, shape) = (&mut self.encoder, &self.shape);
        for lane in &samples {
            let requests = lane.chunks(self.request_max).map(|some| {
                let rows = some.iter().map(|sample| sample.row(shape));
                encoder.rows(protocol, rows).map_err(std::io::Error::other)
            });
            round.lanes.push(requests.collect::<Result<_, _>>()?);
        }
        Ok(round)
    }
}

/// Waits for all of them; each goes on while others wait.
pub(super) async fn together<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = all.into_iter().map(Box::pin).collect();
    let mut ended: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, end) in running.iter_mut().zip(&mut ended) {
            if end.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *end = Some(output);
            }
        }
        match ended.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    ended.into_iter().flatten().collect()
}
