//! Where a stream of changes is to go on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::expose::api::problem::Problem;

/// Version of a cursor.
const VERSION: u8 = 1;

/// A place in the changes of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// When that process began to number them.
    pub(super) opened_ms: i64,
    /// The last one that was told.
    pub(super) number: u64,
    /// When that was.
    pub(super) time_ms: i64,
}

impl Cursor {
    pub(super) fn write(self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.opened_ms.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.time_ms.to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let not_ours = || Problem::parameter("cursor", "not the cursor of a message");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_ours())?;
        let bytes: [u8; 25] = bytes.try_into().map_err(|_| not_ours())?;
        let [VERSION, rest @ ..] = bytes else {
            return Err(not_ours());
        };
        let (words, _) = rest.as_chunks::<8>();
        let [opened, number, time] = words else {
            return Err(not_ours());
        };
        Ok(Self {
            opened_ms: i64::from_le_bytes(*opened),
            number: u64::from_le_bytes(*number),
            time_ms: i64::from_le_bytes(*time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor {
            opened_ms: -5,
            number: u64::MAX,
            time_ms: 1_700_000_000_000,
        };
        let text = cursor.write();
        assert_eq!(Cursor::read(&text), Ok(cursor));
        for other in ["", "x", &text[1..], &text[..text.len() - 2]] {
            assert!(Cursor::read(other).is_err(), "{other}");
        }
    }
}
