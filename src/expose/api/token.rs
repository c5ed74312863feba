//! Page tokens: where a page ended, good for the request that it was given to and no other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::Problem;

/// Version of a token.
const VERSION: u8 = 1;

/// The token for a place in the answers to requests with this key.
pub(super) fn write<const N: usize>(place: [u8; N], key: u64) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&place);
    bytes.extend_from_slice(&key.to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a token is of.
pub(super) fn read<const N: usize>(text: &str, key: u64) -> Result<[u8; N], Problem> {
    let bad = |what| Problem::parameter("page_token", what);
    let not_ours = || bad("not the next_page_token of an answer");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_ours())?;
    let [VERSION, rest @ ..] = &bytes[..] else {
        return Err(not_ours());
    };
    let (place, for_key) = rest.split_at_checked(N).ok_or_else(not_ours)?;
    match for_key.try_into().map(u64::from_le_bytes) {
        Ok(k) if k == key => place.try_into().map_err(|_| not_ours()),
        Ok(_) => Err(bad("from a request with other parameters")),
        Err(_) => Err(not_ours()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_request_alone() {
        let place = *b"0123456789abcdef";
        let text = write(place, 9);
        assert_eq!(read(&text, 9), Ok(place));
        assert!(read::<16>(&text, 8).is_err());
        assert!(read::<8>(&text, 9).is_err());
        assert!(read::<16>(&text[1..], 9).is_err());
        assert!(read::<16>("", 9).is_err());
    }
}
