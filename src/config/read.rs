//! What a reader may ask of the windows, and under which external labels they are asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How Prometheus reads the windows back by `remote_read` (`POST /api/v1/read`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadConfig {
    /// Labels that answers carry where a series has none of that name itself. A matcher takes such a
    /// series for one that has them. Prometheus asks only for series with its own `external_labels`:
    /// give them here if senders do not send them along, for example `{cluster: eu1}`.
    #[schemars(extend("format" = "labels"))]
    pub external_labels: BTreeMap<String, String>,
    /// Labels whose matchers are taken as satisfied by every series that does not have the label. For
    /// a Prometheus that reads with other `external_labels` than its senders have, for example
    /// `[reader]`.
    pub ignore_labels: Vec<String>,
    /// Requests that are answered at once. More wait, within `wait`.
    #[schemars(range(min = 1, max = 1000))]
    pub at_once: u32,
    /// How long a request may wait for its turn before it gets 503 with Retry-After.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "10ms", "x-max" = "5m"))]
    pub wait: Duration,
    /// Series in one answer. A request for more gets 400.
    #[schemars(range(min = 1, max = 100000000))]
    pub series: u32,
    /// Samples for one query in the form SAMPLES, which is what Prometheus 2 asks for. Such an answer
    /// is put together in memory, at about 20 bytes a sample; Prometheus itself allows ten times as
    /// many by default. A query for more gets 400.
    #[schemars(range(min = 1, max = 100000000))]
    pub samples: u32,
    /// Computed series (`saimon_anomaly_score`, `saimon_expected` ..., with `saimon="virtual"`) of one
    /// query. A query for more gets 400. 0: there are none.
    #[schemars(range(min = 0, max = 100000))]
    pub virtual_series: u32,
    /// Samples that are scored again for one query of computed series; those around what is asked for
    /// count too, and one whose band is asked for counts as 50. A million take some seconds of one
    /// core. A query for more gets 400.
    #[schemars(range(min = 1000, max = 1000000000))]
    pub virtual_samples: u32,
    /// Bytes of one answer in the form SAMPLES before compression; two such answers may be in memory
    /// together. Answers in chunks are sent while they are read and have no such bound.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "1MiB", "x-max" = "1GiB"))]
    pub answer: ByteSize,
    /// Bytes of one frame of an answer in chunks, about. Prometheus reads frames of up to 50 MB.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "4KiB", "x-max" = "32MiB"))]
    pub frame: ByteSize,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self {
            external_labels: BTreeMap::new(),
            ignore_labels: Vec::new(),
            at_once: 10,
            wait: Duration::from_secs(10),
            series: 100_000,
            samples: 5_000_000,
            virtual_series: 1000,
            virtual_samples: 5_000_000,
            answer: ByteSize::mib(128),
            frame: ByteSize::mib(1),
        }
    }
}
