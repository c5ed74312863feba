//! From a body as sent to an arena; the same for what arrives and for what was kept.

use std::sync::Arc;

use super::arena::{self, ArenaPool, PooledArena};
use super::bytes;
use super::negotiate::{Encoding, Form};
use super::unpack::{self, NotUnpacked};
use crate::config::LimitsConfig;
use crate::wire::snappy::{BodyPool, PooledBody};
use crate::wire::write::{DecodeError, LabelLimits, Lost, Protocol};
use crate::wire::{write_v1, write_v2};

/// Samples further ahead of the clock than this are refused, as Prometheus' own
/// receiver does: one of them would make every honest sample after it late.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Bodies and arenas that are kept for the next request, about a megabyte each: as many as cores are
/// at work on requests at once. What a burst took beyond goes back.
const KEPT_MAX: usize = 4;

/// Why a body could not be decoded; nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecodable {
    #[error(transparent)]
    Compression(#[from] NotUnpacked),
    #[error(transparent)]
    Message(#[from] DecodeError),
}

/// Turns bodies into arenas.
#[derive(Debug)]
pub(super) struct Decoder {
    labels: LabelLimits,
    body_raw: usize,
    bodies: Arc<BodyPool>,
    arenas: Arc<ArenaPool>,
}

/// A request, decompressed and decoded.
pub(super) struct Plain {
    pub(super) body: PooledBody,
    pub(super) arena: PooledArena,
    /// What was taken out because it is too far ahead; part of `arena.refused`.
    pub(super) future: Lost,
}

impl Decoder {
    /// Keeps memory for so many requests at once, but for [`KEPT_MAX`] at most.
    pub(super) fn new(limits: &LimitsConfig, at_once: usize) -> Self {
        let kept = at_once.min(KEPT_MAX);
        Self {
            labels: LabelLimits {
                labels_per_series: limits.labels_per_series as usize,
                name_bytes: limits.label_name as usize,
                value_bytes: limits.label_value as usize,
            },
            body_raw: bytes(limits.body_raw),
            bodies: BodyPool::new(kept),
            arenas: ArenaPool::new(kept),
        }
    }

    /// Decodes a body of at most `raw_max` bytes when decompressed, which arrived at `received_ms`.
    pub(super) fn decode(
        &self,
        compressed: &[u8],
        form: Form,
        raw_max: usize,
        received_ms: i64,
    ) -> Result<Plain, Undecodable> {
        let mut body = unpack::unpack(&self.bodies, compressed, form.encoding, raw_max)?;
        let mut arena = self.arenas.take();
        let bytes = body.bytes_mut();
        match form.protocol {
            Protocol::V1 => write_v1::decode(bytes, &self.labels, &mut arena)?,
            Protocol::V2 => write_v2::decode(bytes, &self.labels, self.body_raw, &mut arena)?,
        }
        let latest_ms = received_ms.saturating_add(AHEAD_MAX_MS);
        let future = arena::take_out_future(&mut arena, &body, latest_ms);
        Ok(Plain {
            body,
            arena,
            future,
        })
    }

    /// The same for a body that was kept, with its [`head`].
    pub(super) fn decode_kept(&self, kept: &[u8]) -> Result<(Plain, i64), NotRead> {
        let (head, body) = kept.split_first_chunk().ok_or(NotRead::Head)?;
        let (form, received_ms) = read_head(head)?;
        let plain = self.decode(body, form, self.body_raw, received_ms)?;
        Ok((plain, received_ms))
    }
}

/// Bytes of a head.
const HEAD: usize = 11;
/// Its first byte.
const VERSION: u8 = 1;

/// Why a kept request cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRead {
    #[error("it does not begin as requests do")]
    Head,
    #[error(transparent)]
    Body(#[from] Undecodable),
}

/// What has to be known of a request to decode its body again: version 1, protocol, encoding, and the
/// time of its arrival (milliseconds, little-endian).
pub(super) fn head(form: Form, received_ms: i64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[0] = VERSION;
    head[1] = match form.protocol {
        Protocol::V1 => 1,
        Protocol::V2 => 2,
    };
    head[2] = match form.encoding {
        Encoding::Snappy => 1,
        Encoding::Zstd => 2,
    };
    head[3..].copy_from_slice(&received_ms.to_le_bytes());
    head
}

fn read_head(head: &[u8; HEAD]) -> Result<(Form, i64), NotRead> {
    let [VERSION, protocol, encoding, time @ ..] = head else {
        return Err(NotRead::Head);
    };
    let form = Form {
        protocol: match protocol {
            1 => Protocol::V1,
            2 => Protocol::V2,
            _ => return Err(NotRead::Head),
        },
        encoding: match encoding {
            1 => Encoding::Snappy,
            2 => Encoding::Zstd,
            _ => return Err(NotRead::Head),
        },
    };
    Ok((form, i64::from_le_bytes(*time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_the_request_said() {
        for protocol in [Protocol::V1, Protocol::V2] {
            for encoding in [Encoding::Snappy, Encoding::Zstd] {
                let form = Form { protocol, encoding };
                for time in [0, -5, i64::MAX] {
                    let head = head(form, time);
                    assert_eq!(read_head(&head).unwrap(), (form, time));
                }
            }
        }
        let good = head(
            Form {
                protocol: Protocol::V1,
                encoding: Encoding::Snappy,
            },
            1,
        );
        for at in 0..3 {
            let mut bad = good;
            bad[at] = 9;
            assert!(read_head(&bad).is_err());
        }
        let decoder = Decoder::new(&LimitsConfig::default(), 1);
        assert!(decoder.decode_kept(&good[..HEAD - 1]).is_err());
        assert!(decoder.decode_kept(&good).is_err(), "no body");
    }
}
