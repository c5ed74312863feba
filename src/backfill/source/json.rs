//! Answers of the query API: the JSON of Prometheus, which other stores speak too.
//!
//! What always holds: an answer is bounded before it is read, and what is not known in it is left
//! out.

use std::collections::BTreeMap;
use std::fmt;

use http::StatusCode;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ANSWER_BYTES_MAX;
use super::error::SourceError;
use crate::client::Answer;

/// The envelope of every answer.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    #[serde(default)]
    error: String,
}

/// What a query gives: a matrix, whatever `resultType` says.
#[derive(Debug, Deserialize)]
pub(super) struct QueryData {
    #[serde(default)]
    pub(super) result: Vec<Row>,
}

/// One series of a matrix.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) metric: BTreeMap<String, String>,
    /// None of a series that has histograms only.
    #[serde(default)]
    pub(super) values: Vec<Point>,
}

/// A sample: `[1795341581.789, "1"]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) t_ms: i64,
    pub(super) value: f64,
}

/// The data of an answer that says yes.
pub(super) async fn data<T: DeserializeOwned>(answer: Answer) -> Result<T, SourceError> {
    if answer.status != StatusCode::OK {
        return Err(match SourceError::of(answer).await {
            SourceError::Status {
                url,
                status,
                text,
                retry_after,
            } => SourceError::Status {
                url,
                status,
                text: said(&text).unwrap_or(text),
                retry_after,
            },
            other => other,
        });
    }
    let url = answer.body.url().to_owned();
    let wrong = |what: String| SourceError::Message {
        url: url.clone(),
        what,
    };
    let body = answer.body.all(ANSWER_BYTES_MAX).await?;
    let envelope: Envelope<T> = serde_json::from_slice(&body)
        .map_err(|e| wrong(format!("it is not the json of the query api: {e}")))?;
    if envelope.status != "success" {
        return Err(wrong(format!(
            "it says {}: {}",
            envelope.status, envelope.error
        )));
    }
    envelope
        .data
        .ok_or_else(|| wrong("it has no data".to_owned()))
}

/// The error within the JSON of an answer that says no.
fn said(text: &str) -> Option<String> {
    let envelope: Envelope<serde::de::IgnoredAny> = serde_json::from_str(text).ok()?;
    (!envelope.error.is_empty()).then_some(envelope.error)
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;

        impl<'de> Visitor<'de> for Pair {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in seconds and a value in quotes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Point, A::Error> {
                let missing = |n| serde::de::Error::invalid_length(n, &Pair);
                let seconds: f64 = seq.next_element()?.ok_or_else(|| missing(0))?;
                let Number(value) = seq.next_element()?.ok_or_else(|| missing(1))?;
                Ok(Point {
                    // Three decimals of a second are exact in a float for times of this age.
                    t_ms: (seconds * 1000.0).round() as i64,
                    value,
                })
            }
        }

        deserializer.deserialize_seq(Pair)
    }
}

/// A number in quotes, NaN and infinities included; Prometheus writes `+Inf`, others `Infinity`.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in quotes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse()
                    .map(Number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(f64::NAN))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind() {
        let data: QueryData = serde_json::from_str(
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":
            [[1795341581.789,"1"],[1795341582,"NaN"],[1795341583.001,"+Inf"],[1795341584,"-Inf"],
             [1795341585,"Infinity"],[1795341586,"1e-3"],[1795341587,null],[1795341588,-2]]},
             {"metric":{},"histograms":[[1,{"count":"1"}]]}]}"#,
        )
        .unwrap();
        let values = &data.result[0].values;
        assert_eq!(values[0].t_ms, 1_795_341_581_789);
        assert_eq!(values[2].t_ms, 1_795_341_583_001);
        let text: Vec<_> = values.iter().map(|p| p.value.to_string()).collect();
        assert_eq!(
            text,
            ["1", "NaN", "inf", "-inf", "inf", "0.001", "NaN", "-2"]
        );
        assert!(data.result[1].values.is_empty());
        assert!(serde_json::from_str::<Point>(r#"[1,"x"]"#).is_err());
        assert!(serde_json::from_str::<Point>("[1]").is_err());
    }

    #[test]
    fn the_error_within_an_answer() {
        let text = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(said(text).as_deref(), Some("parse error"));
        assert_eq!(said("plain"), None);
    }
}
