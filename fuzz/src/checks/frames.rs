//! Frames of a streamed answer: those that we write are taken apart again plainly and by the client,
//! whatever pieces they come in; those of a stranger give what is whole and right, and no more.

use prost::Message as _;
use saimon::backfill::source::frames::Frames;
use saimon::wire::proto;
use saimon::wire::read_chunks::{ChunkRef, FrameWriter};

/// Bytes of a frame in front of its message.
type Head = (usize, usize);

/// One frame: where its message is and ends; `None` if it is not all there or not right.
fn frame(bytes: &[u8]) -> Option<Head> {
    let mut rest = bytes;
    let len = prost::encoding::decode_varint(&mut rest).ok()?;
    let len = usize::try_from(len).ok()?;
    let start = bytes.len() - rest.len() + 4;
    let end = start.checked_add(len).filter(|end| *end <= bytes.len())?;
    let sum = crc32c::crc32c(&bytes[start..end]).to_be_bytes();
    (sum == bytes[start - 4..start]).then_some((start, end))
}

/// Messages up to the first that is not right, and whether that was the end.
fn plain(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    while let Some((start, end)) = frame(rest) {
        messages.push(rest[start..end].to_vec());
        rest = &rest[end..];
    }
    (messages, rest.is_empty())
}

/// The same by the client, which gets them in pieces of this size.
fn received(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Frames::default();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        frames.push(piece);
        loop {
            match frames.message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    let whole = frames.finish().is_ok();
    (messages, whole)
}

/// Query index, and its chunks: first time and bytes.
type Sent = Vec<(i64, Vec<(i64, Vec<u8>)>)>;

/// Series of chunks made of the input, and the frames that they give.
fn made(data: &[u8], limit: usize) -> (Sent, Vec<u8>) {
    let labels = b"\x0a\x0e\x0a\x08__name__\x12\x02up";
    let mut writer = FrameWriter::new(limit);
    let mut sent = Vec::new();
    for (query, series) in data.split(|b| *b == 0xff).enumerate() {
        writer.begin_series(query, labels);
        let mut chunks = Vec::new();
        for (i, data) in series.split(|b| *b == 0xfe).enumerate() {
            let first_ms = i as i64 - 3;
            writer.chunk(ChunkRef {
                first_ms,
                last_ms: first_ms + 1,
                kind: 1 + (i % 3) as u8,
                data,
            });
            chunks.push((first_ms, data.to_vec()));
        }
        writer.end_series(true);
        sent.push((query as i64, chunks));
    }
    (sent, writer.take())
}

pub fn check(data: &[u8]) {
    let [limit, rest @ ..] = data else { return };
    let (piece, limit) = (1 + usize::from(limit % 16), usize::from(*limit) * 8);
    assert!(received(data, piece) == plain(data));
    assert!(received(data, data.len()) == plain(data));

    let (sent, bytes) = made(rest, limit);
    let (messages, whole) = plain(&bytes);
    assert!(whole && received(&bytes, piece) == (messages.clone(), true));
    let mut got: Sent = Vec::new();
    for bytes in &messages {
        let message = proto::ChunkedReadResponse::decode(&bytes[..]).expect("a message");
        let [series] = &message.chunked_series[..] else {
            panic!("one series in a frame");
        };
        assert!(bytes.len() <= limit || series.chunks.len() <= 1);
        assert!(series.labels.len() == 1 && series.labels[0].value == "up");
        let chunks = series.chunks.iter().map(|c| {
            assert!(c.max_time_ms == c.min_time_ms + 1);
            (c.min_time_ms, c.data.clone())
        });
        match got.last_mut() {
            Some((query, have)) if *query == message.query_index => have.extend(chunks),
            _ => got.push((message.query_index, chunks.collect())),
        }
    }
    assert!(got == sent);
}
