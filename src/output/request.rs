//! A request ready to be sent, and the making of it. The same bytes are sent however often.

use bytes::Bytes;
use prost::Message as _;

use super::series::{Family, Labels, LabelsError, Row};
use super::{Protocol, encode_v1, encode_v2};
use crate::wire::proto::v2;
use crate::wire::write::{MetricType, is_stale};

/// Bytes that a request of ours may unpack to when it is made again for another protocol.
const RAW_MAX: usize = 256 << 20;

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("could not compress a request: {0}")]
    Compress(#[from] snap::Error),
    #[error("could not read a request of remote write 2.0 again: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error("could not make a request of remote write 2.0 again: {0}")]
    Labels(#[from] LabelsError),
    #[error("could not make a request again: it has {0} bytes")]
    TooLarge(usize),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub protocol: Protocol,
    /// Compressed with snappy's block format.
    pub body: Bytes,
    /// Bytes before compression.
    pub raw_bytes: usize,
    /// Samples in it, stale markers among them.
    pub samples: usize,
    /// Of these, stale markers.
    pub markers: usize,
}

/// Makes requests; keeps its buffers for the next one.
#[derive(Debug)]
pub struct Encoder {
    raw: Vec<u8>,
    packed: Vec<u8>,
    snappy: snap::raw::Encoder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            raw: Vec::new(),
            packed: Vec::new(),
            snappy: snap::raw::Encoder::new(),
        }
    }

    /// A request of these samples. Those of one series are in order of time.
    pub fn rows<'a>(
        &mut self,
        protocol: Protocol,
        rows: impl IntoIterator<Item = Row<'a>>,
    ) -> Result<Request, RequestError> {
        self.raw.clear();
        let (mut samples, mut markers) = (0, 0);
        let counted = rows.into_iter().inspect(|row| {
            samples += 1;
            markers += usize::from(is_stale(row.value));
        });
        match protocol {
            Protocol::V1 => encode_v1::rows(counted, &mut self.raw),
            Protocol::V2 => encode_v2::request(counted, &mut self.raw),
        }
        self.pack(protocol, samples, markers)
    }

    /// The request in which 1.0 announces metric families; 2.0 has no such thing.
    pub fn metadata<'a>(
        &mut self,
        families: impl IntoIterator<Item = (&'a str, &'a Family)>,
    ) -> Result<Request, RequestError> {
        self.raw.clear();
        encode_v1::metadata(families, &mut self.raw);
        self.pack(Protocol::V1, 0, 0)
    }

    /// A 2.0 request as one of 1.0, for a receiver that takes no other. Type and help are lost.
    pub fn as_v1(&mut self, request: &Request) -> Result<Request, RequestError> {
        if request.protocol == Protocol::V1 {
            return Ok(request.clone());
        }
        let length = snap::raw::decompress_len(&request.body)?;
        if length > RAW_MAX {
            return Err(RequestError::TooLarge(length));
        }
        let mut raw = vec![0; length];
        snap::raw::Decoder::new().decompress(&request.body, &mut raw)?;
        let decoded = v2::Request::decode(raw.as_slice())?;
        let text = |at: &u32| decoded.symbols.get(*at as usize).map_or("", String::as_str);
        let mut series = Vec::with_capacity(decoded.timeseries.len());
        for one in &decoded.timeseries {
            let refs: Vec<&str> = one.labels_refs.iter().map(text).collect();
            let pairs = refs.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            series.push((Labels::new(pairs)?, &one.samples));
        }
        let family = Family {
            kind: MetricType::Unknown,
            help: "".into(),
            unit: "".into(),
        };
        let rows = series.iter().flat_map(|(labels, samples)| {
            samples.iter().map(|sample| Row {
                labels,
                family: &family,
                timestamp_ms: sample.timestamp,
                value: sample.value,
            })
        });
        self.rows(Protocol::V1, rows)
    }

    fn pack(
        &mut self,
        protocol: Protocol,
        samples: usize,
        markers: usize,
    ) -> Result<Request, RequestError> {
        let room = snap::raw::max_compress_len(self.raw.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let length = self.snappy.compress(&self.raw, &mut self.packed)?;
        Ok(Request {
            protocol,
            body: Bytes::copy_from_slice(&self.packed[..length]),
            raw_bytes: self.raw.len(),
            samples,
            markers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::series::stale;

    #[test]
    fn the_same_rows_in_either_protocol() {
        let labels = Labels::new([("__name__", "m"), ("a.b", "1")]).unwrap();
        let family = Family {
            kind: MetricType::Gauge,
            help: "h".into(),
            unit: "".into(),
        };
        let rows = [(1, 2.5), (2, -0.0), (3, stale())].map(|(timestamp_ms, value)| Row {
            labels: &labels,
            family: &family,
            timestamp_ms,
            value,
        });
        let mut encoder = Encoder::new();
        let first = encoder.rows(Protocol::V1, rows).unwrap();
        let second = encoder.rows(Protocol::V2, rows).unwrap();
        assert_eq!((first.samples, first.markers), (3, 1));
        assert_ne!(first.body, second.body);
        let again = encoder.as_v1(&second).unwrap();
        assert_eq!(again.body, first.body);
        assert_eq!((again.protocol, again.samples), (Protocol::V1, 3));
        assert_eq!(encoder.as_v1(&first).unwrap().body, first.body);
    }
}
