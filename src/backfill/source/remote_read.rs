//! Remote read as a client: `POST /api/v1/read` (protocol.md, section 8).
//!
//! The status is looked at first, then the Content-Type; samples that a chunk has beyond the range
//! are cut, and what overlaps is merged, where they are gathered.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use prost::Message as _;

use super::error::SourceError;
use super::frames::Frames;
use super::{ANSWER_BYTES_MAX, Ask, READ_PATH, Server, histogram};
use crate::backfill::gather::Gather;
use crate::backfill::plan::Condition;
use crate::client::Answer;
use crate::series::labels;
use crate::series::matcher::MatchOp;
use crate::window::chunk::Reader;
use crate::window::encoding::Encoding;
use crate::wire::proto;
use crate::wire::snappy::BodyPool;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");
/// The forms of an answer, by the beginning of its Content-Type, as Prometheus tells them apart.
const SAMPLES_TYPE: &str = "application/x-protobuf";
const CHUNKS_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

pub(super) async fn fetch(
    server: &Server,
    ask: &Ask<'_>,
    chunks: bool,
) -> Result<Gather, SourceError> {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        ),
        (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("snappy")),
        (VERSION, HeaderValue::from_static("0.1.0")),
    ];
    let body = request(ask, chunks);
    let answer = server.send(Method::POST, READ_PATH, &headers, body).await?;
    if answer.status != StatusCode::OK {
        return Err(refusal(answer).await);
    }
    let kind = answer.header(header::CONTENT_TYPE).unwrap_or_default();
    if kind.starts_with(CHUNKS_TYPE) {
        streamed(answer, ask).await
    } else if kind.starts_with(SAMPLES_TYPE) {
        samples(answer, ask).await
    } else {
        Err(SourceError::ContentType {
            url: answer.body.url().to_owned(),
            found: kind.to_owned(),
        })
    }
}

fn request(ask: &Ask<'_>, chunks: bool) -> Bytes {
    use proto::read_request::ResponseType;
    let queries = ask.queries.iter().map(|query| proto::Query {
        start_timestamp_ms: ask.span.start_ms,
        end_timestamp_ms: ask.span.end_ms,
        matchers: query.iter().map(matcher).collect(),
        hints: Some(proto::ReadHints {
            start_ms: ask.span.start_ms,
            end_ms: ask.span.end_ms,
            ..Default::default()
        }),
    });
    let mut accepted = vec![ResponseType::Samples as i32];
    if chunks {
        accepted.insert(0, ResponseType::StreamedXorChunks as i32);
    }
    let request = proto::ReadRequest {
        queries: queries.collect(),
        accepted_response_types: accepted,
    };
    let compressed = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
    compressed
        .expect("BUG: a request of a few hundred matchers is too long for snappy")
        .into()
}

fn matcher(condition: &Condition) -> proto::LabelMatcher {
    use proto::label_matcher::Type;
    let kind = match condition.op {
        MatchOp::Equal => Type::Eq,
        MatchOp::NotEqual => Type::Neq,
        MatchOp::Regex => Type::Re,
        MatchOp::NotRegex => Type::Nre,
    };
    proto::LabelMatcher {
        r#type: kind as i32,
        name: condition.name.clone(),
        value: condition.value.clone(),
    }
}

/// What an answer means that is not 200: perhaps that there is no remote read at all.
async fn refusal(answer: Answer) -> SourceError {
    match SourceError::of(answer).await {
        SourceError::Status {
            url, status, text, ..
        } if matches!(status.as_u16(), 404 | 405 | 501)
            // how VictoriaMetrics says it
            || status == StatusCode::BAD_REQUEST && text.contains("unsupported path") =>
        {
            SourceError::NoRemoteRead { url, status, text }
        }
        other => other,
    }
}

async fn samples(answer: Answer, ask: &Ask<'_>) -> Result<Gather, SourceError> {
    let url = answer.body.url().to_owned();
    let compressed = answer.body.all(ANSWER_BYTES_MAX).await?;
    let body = BodyPool::new(0)
        .decompress(&compressed, ANSWER_BYTES_MAX)
        .map_err(|source| SourceError::Snappy {
            url: url.clone(),
            source,
        })?;
    drop(compressed);
    let response = proto::ReadResponse::decode(&body[..]).map_err(|e| SourceError::Message {
        url: url.clone(),
        what: e.to_string(),
    })?;
    drop(body);
    let mut gather = Gather::new(ask.wanted, ask.span, ask.samples_max);
    for series in response.results.iter().flat_map(|r| &r.timeseries) {
        let Some(mut pen) = gather.series(&canonical(&series.labels)) else {
            continue;
        };
        let too_many = |source| SourceError::TooMany {
            url: url.clone(),
            source,
        };
        for sample in &series.samples {
            pen.float(sample.timestamp, sample.value)
                .map_err(too_many)?;
        }
        let mut skipped = false;
        for message in &series.histograms {
            match histogram::of_message(message) {
                Some(histogram) => pen.histogram(&histogram).map_err(too_many)?,
                None => skipped = true,
            }
        }
        gather.skipped += u64::from(skipped);
    }
    Ok(gather)
}

async fn streamed(mut answer: Answer, ask: &Ask<'_>) -> Result<Gather, SourceError> {
    let url = answer.body.url().to_owned();
    let wrong = |source| SourceError::Frame {
        url: url.clone(),
        source,
    };
    let mut gather = Gather::new(ask.wanted, ask.span, ask.samples_max);
    let mut frames = Frames::default();
    while let Some(bytes) = answer.body.chunk().await? {
        frames.push(&bytes);
        while let Some(message) = frames.message().map_err(wrong)? {
            let message =
                proto::ChunkedReadResponse::decode(message).map_err(|e| SourceError::Message {
                    url: url.clone(),
                    what: e.to_string(),
                })?;
            for series in &message.chunked_series {
                take(series, &mut gather, &url)?;
            }
        }
    }
    frames.finish().map_err(wrong)?;
    Ok(gather)
}

/// The samples of one series in one frame.
fn take(series: &proto::ChunkedSeries, gather: &mut Gather, url: &str) -> Result<(), SourceError> {
    let labels = canonical(&series.labels);
    let too_many = |source| SourceError::TooMany {
        url: url.to_owned(),
        source,
    };
    let mut skipped = false;
    let mut pen = gather.series(&labels);
    for chunk in &series.chunks {
        let Some(encoding) = encoding(chunk.r#type) else {
            return Err(SourceError::UnknownChunk {
                url: url.to_owned(),
                encoding: chunk.r#type,
            });
        };
        let Some(pen) = &mut pen else {
            continue;
        };
        if encoding != Encoding::Xor {
            match histogram::of_chunk(encoding, &chunk.data) {
                Some(histograms) => {
                    for histogram in &histograms {
                        pen.histogram(histogram).map_err(too_many)?;
                    }
                }
                None => skipped = true,
            }
            continue;
        }
        let broken = |source| SourceError::Chunk {
            url: url.to_owned(),
            series: labels::display(&labels),
            source,
        };
        for sample in Reader::new(&chunk.data).map_err(broken)? {
            let (t_ms, value) = sample.map_err(broken)?;
            pen.float(t_ms, value).map_err(too_many)?;
        }
    }
    gather.skipped += u64::from(skipped);
    Ok(())
}

fn encoding(wire: i32) -> Option<Encoding> {
    match proto::chunk::Encoding::try_from(wire) {
        Ok(proto::chunk::Encoding::Xor) => Some(Encoding::Xor),
        Ok(proto::chunk::Encoding::Histogram) => Some(Encoding::Histogram),
        Ok(proto::chunk::Encoding::FloatHistogram) => Some(Encoding::FloatHistogram),
        Ok(proto::chunk::Encoding::Unknown) | Err(_) => None,
    }
}

fn canonical(of: &[proto::Label]) -> Vec<u8> {
    labels::encode(of.iter().map(|l| (l.name.as_str(), l.value.as_str())))
}
