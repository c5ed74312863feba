//! The answer to a remote read in the form SAMPLES: one `prometheus.ReadResponse`.
//!
//! It is written front to back into one buffer; the length of a message, which stands before it, is
//! put in when the message is complete. What always holds: one result for each query, in order
//! (protocol notes, section 8); the bytes are those that Prometheus writes for the same samples, but
//! for -0.0, which Prometheus leaves out of a message as if it were 0. What it does not know: ranges,
//! limits, compression.

use super::field::put_varint;

/// Field 1, 2 or 4, length-delimited.
const RESULTS: u8 = 0x0a;
const TIMESERIES: u8 = 0x0a;
const SAMPLES: u8 = 0x12;
const HISTOGRAMS: u8 = 0x22;

/// A `ReadResponse` that is being written.
#[derive(Debug, Default)]
pub struct SamplesAnswer {
    bytes: Vec<u8>,
    /// Where the open result begins.
    result: usize,
    /// Where the open series begins, and where its samples do.
    series: (usize, usize),
}

impl SamplesAnswer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Begins the result of the next query.
    pub fn begin_query(&mut self) {
        self.result = self.bytes.len();
    }

    /// Ends it.
    pub fn end_query(&mut self) {
        self.close(self.result, RESULTS);
    }

    /// Begins a series; `labels` are canonical label bytes, which are the `labels` fields of a
    /// `TimeSeries` as they are.
    pub fn begin_series(&mut self, labels: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(labels);
        self.series = (start, self.bytes.len());
    }

    /// Adds a sample to the open series; in order of time.
    pub fn sample(&mut self, t_ms: i64, value: f64) {
        // A sample has 20 bytes at most, so its length is one byte.
        self.bytes.extend_from_slice(&[SAMPLES, 0]);
        let start = self.bytes.len();
        if value.to_bits() != 0 {
            self.bytes.push(0x09);
            self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        if t_ms != 0 {
            self.bytes.push(0x10);
            put_varint(&mut self.bytes, t_ms as u64);
        }
        self.bytes[start - 1] = (self.bytes.len() - start) as u8;
    }

    /// Adds a `prometheus.Histogram`, encoded, to the open series.
    pub fn histogram(&mut self, message: &[u8]) {
        self.bytes.push(HISTOGRAMS);
        put_varint(&mut self.bytes, message.len() as u64);
        self.bytes.extend_from_slice(message);
    }

    /// Ends the series. One without a sample is taken back unless `keep_empty` says that its labels
    /// alone are wanted.
    pub fn end_series(&mut self, keep_empty: bool) {
        let (start, samples) = self.series;
        if samples == self.bytes.len() && !keep_empty {
            self.bytes.truncate(start);
        } else {
            self.close(start, TIMESERIES);
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Makes all from `start` on the value of a field.
    fn close(&mut self, start: usize, tag: u8) {
        let end = self.bytes.len();
        self.bytes.push(tag);
        put_varint(&mut self.bytes, (end - start) as u64);
        let head = self.bytes.len() - end;
        self.bytes[start..].rotate_right(head);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::proto;

    fn label(name: &str, value: &str) -> proto::Label {
        proto::Label {
            name: name.into(),
            value: value.into(),
        }
    }

    fn write(answer: &mut SamplesAnswer, wanted: &proto::ReadResponse) {
        for result in &wanted.results {
            answer.begin_query();
            for series in &result.timeseries {
                let only_labels = proto::TimeSeries {
                    labels: series.labels.clone(),
                    ..Default::default()
                };
                answer.begin_series(&only_labels.encode_to_vec());
                for sample in &series.samples {
                    answer.sample(sample.timestamp, sample.value);
                }
                for histogram in &series.histograms {
                    answer.histogram(&histogram.encode_to_vec());
                }
                answer.end_series(true);
            }
            answer.end_query();
        }
    }

    #[test]
    fn an_answer_has_the_bytes_that_prost_writes() {
        let samples = |n: usize| {
            (0..n)
                .map(|i| proto::Sample {
                    value: i as f64 * 0.1,
                    timestamp: 1_795_341_581_789 + i as i64 * 3_000 - i as i64 % 7,
                })
                .collect()
        };
        let odd = [(0, 0.0), (-1, f64::NAN), (i64::MIN, f64::INFINITY)];
        let odd = odd.map(|(timestamp, value)| proto::Sample { value, timestamp });
        let series = |name: &str, samples| proto::TimeSeries {
            labels: vec![label("__name__", name), label("job", "\u{fc}")],
            samples,
            ..Default::default()
        };
        let mut with_histogram = series("h", Vec::new());
        with_histogram.histograms.push(proto::Histogram {
            sum: 7.5,
            schema: 3,
            positive_deltas: vec![1; 200],
            timestamp: 9,
            ..Default::default()
        });
        let result = |timeseries| proto::QueryResult { timeseries };
        let wanted = proto::ReadResponse {
            results: vec![
                result(vec![series("a", samples(1)), series("b", samples(5_000))]),
                result(Vec::new()),
                result(vec![
                    series("empty", Vec::new()),
                    series("odd", odd.to_vec()),
                    with_histogram,
                ]),
            ],
        };
        let mut answer = SamplesAnswer::new();
        write(&mut answer, &wanted);
        assert_eq!(answer.into_bytes(), wanted.encode_to_vec());
    }

    #[test]
    fn minus_zero_keeps_its_sign_and_an_empty_series_is_taken_back() {
        let mut answer = SamplesAnswer::new();
        answer.begin_query();
        answer.begin_series(b"\x0a\x06\x0a\x01a\x12\x01b");
        answer.end_series(false);
        answer.begin_series(b"");
        answer.sample(1, -0.0);
        answer.end_series(false);
        answer.end_query();
        let read = proto::ReadResponse::decode(&answer.into_bytes()[..]).unwrap();
        let series = &read.results[0].timeseries;
        assert_eq!((read.results.len(), series.len()), (1, 1));
        assert_eq!(series[0].samples[0].value.to_bits(), (-0.0f64).to_bits());
    }

    /// Conformance 75.
    #[test]
    fn an_empty_result_is_two_bytes() {
        let mut answer = SamplesAnswer::new();
        answer.begin_query();
        answer.end_query();
        assert_eq!(answer.into_bytes(), b"\x0a\x00");
    }
}
