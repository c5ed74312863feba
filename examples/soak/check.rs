//! Reads back everything that was acknowledged, by remote read, and compares each value.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use saimon::wire::proto::{LabelMatcher, Query, ReadRequest, ReadResponse};

use crate::http;
use crate::load::{Load, Senders, value};

/// Longest answer that is unpacked, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// What was found of what was acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) acknowledged: u64,
    pub(crate) found: u64,
    /// Samples that are there with another value.
    pub(crate) wrong: u64,
    /// Samples that nobody sent.
    pub(crate) made_up: u64,
}

impl Found {
    pub(crate) fn lost(&self) -> u64 {
        self.acknowledged.saturating_sub(self.found)
    }
}

/// Everything of all senders.
pub(crate) fn all(senders: &Senders) -> Result<Found> {
    let mut found = Found::default();
    for (sender, account) in senders.accounts.iter().enumerate() {
        let load = &senders.load;
        let batches = load.batches(sender);
        let requests = account.acknowledged.load(Ordering::Relaxed);
        for batch in 0..batches {
            let rounds = requests
                .saturating_sub(batch as u64)
                .div_ceil(batches as u64);
            one(load, sender, batch, rounds, &mut found)
                .with_context(|| format!("reading back part {}", Load::part(sender, batch)))?;
        }
    }
    Ok(found)
}

/// One batch, of which so many rounds were acknowledged and one more may have been taken.
fn one(load: &Load, sender: usize, batch: usize, rounds: u64, found: &mut Found) -> Result<()> {
    let answer = read(load.address, &Load::part(sender, batch))?;
    let step_ms = load.interval.as_millis() as i64;
    let mut by_series: HashMap<usize, &[saimon::wire::proto::Sample]> = HashMap::new();
    for series in &answer.timeseries {
        let label = series.labels.iter().find(|l| l.name == "series");
        let number = label.and_then(|l| l.value.parse().ok());
        by_series.insert(
            number.context("a series without its number")?,
            &series.samples,
        );
    }
    for series in load.of(sender, batch) {
        found.acknowledged += rounds;
        let mut last_ms = i64::MIN;
        for sample in by_series.remove(&series).unwrap_or_default() {
            let again = sample.timestamp <= std::mem::replace(&mut last_ms, sample.timestamp);
            let after = sample.timestamp - load.base_ms;
            let round = (after / step_ms) as u64;
            if again || after < 0 || after % step_ms != 0 || round > rounds {
                found.made_up += 1;
            } else if sample.value.to_bits() != value(series, round).to_bits() {
                found.wrong += 1;
            } else if round < rounds {
                found.found += 1;
            }
        }
    }
    found.made_up += by_series.len() as u64;
    Ok(())
}

fn read(address: SocketAddr, part: &str) -> Result<saimon::wire::proto::QueryResult> {
    let request = ReadRequest {
        queries: vec![Query {
            start_timestamp_ms: 0,
            end_timestamp_ms: i64::MAX,
            matchers: vec![LabelMatcher {
                r#type: 0,
                name: "part".to_owned(),
                value: part.to_owned(),
            }],
            hints: None,
        }],
        accepted_response_types: Vec::new(),
    };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let version = "x-prometheus-remote-read-version: 0.1.0";
    let (status, answer) = http::post(address, "/api/v1/read", version, &body)?;
    ensure!(
        status == 200,
        "remote read answered {status}: {}",
        String::from_utf8_lossy(&answer)
    );
    let mut raw = vec![0; snap::raw::decompress_len(&answer)?.min(ANSWER_BYTES_MAX)];
    let filled = snap::raw::Decoder::new().decompress(&answer, &mut raw)?;
    let mut response = ReadResponse::decode(&raw[..filled])?;
    response.results.pop().context("an answer without a result")
}
