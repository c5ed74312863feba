//! Times of messages, as REST writes them.

use jiff::Timestamp as Moment;
use prost_types::Timestamp;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Of milliseconds since 1970.
pub(crate) fn of_ms(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: i32::try_from(ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000,
    }
}

/// Milliseconds since 1970, rounded down; `None` for what is no time.
pub(crate) fn ms(time: &Timestamp) -> Option<i64> {
    moment(time).map(|m| m.as_millisecond())
}

fn moment(time: &Timestamp) -> Option<Moment> {
    // As the definition of the message has it; jiff would take negative ones too.
    let nanos = (0..1_000_000_000).contains(&time.nanos);
    nanos
        .then(|| Moment::new(time.seconds, time.nanos).ok())
        .flatten()
}

/// RFC 3339. What is no time is written as what it is, so that whoever reads it says so.
#[allow(clippy::ref_option, reason = "as serde calls it")]
pub(crate) fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        None => to.serialize_none(),
        Some(time) => match moment(time) {
            Some(moment) => to.serialize_str(&moment.to_string()),
            None => to.serialize_str(&format!("{} s and {} ns", time.seconds, time.nanos)),
        },
    }
}

/// Of RFC 3339, or of null.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let moment: Moment = text.parse().map_err(serde::de::Error::custom)?;
    Ok(Some(of_ms(moment.as_millisecond())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_definition() {
        for (ms, seconds, nanos) in [
            (0, 0, 0),
            (1_700_000_000_250, 1_700_000_000, 250_000_000),
            (-1, -1, 999_000_000),
        ] {
            let time = of_ms(ms);
            assert_eq!((time.seconds, time.nanos), (seconds, nanos));
            assert_eq!(super::ms(&time), Some(ms));
        }
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(super::ms(&Timestamp { seconds, nanos }), None);
        }
    }
}
