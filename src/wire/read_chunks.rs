//! The answer to a remote read in the form STREAMED_XOR_CHUNKS: frames, back to back.
//!
//! A frame is the length of a message as an unsigned varint, the CRC-32C of the message in four
//! bytes, the most significant first, and the message, a `prometheus.ChunkedReadResponse` with one
//! series (protocol notes, section 8). A series that is too long for one frame goes on in the next,
//! with its labels repeated. What always holds: a frame is longer than the limit only if one chunk
//! alone with its labels is. What it does not know: what is in a chunk, and in which order series
//! must come.

use super::field::{put_varint, varint_len};

/// Field 1 of the answer, 1 and 2 of a series.
const SERIES: u8 = 0x0a;
const CHUNKS: u8 = 0x12;

/// Bytes of a frame that are neither labels nor chunks, at most: lengths, checksum, query index.
const OVERHEAD: usize = 32;

/// One chunk of a series.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRef<'a> {
    /// Times of its first and last sample, in milliseconds.
    pub first_ms: i64,
    pub last_ms: i64,
    /// `Chunk.type` of the protocol.
    pub kind: u8,
    pub data: &'a [u8],
}

/// Frames that are being written.
#[derive(Debug)]
pub struct FrameWriter {
    frame_max: usize,
    query: u64,
    /// Fields of the open series: its labels, then the chunks that are in no frame yet.
    series: Vec<u8>,
    labels_len: usize,
    out: Vec<u8>,
}

impl FrameWriter {
    /// Frames have about `frame_max` bytes at most.
    pub fn new(frame_max: usize) -> Self {
        Self {
            frame_max,
            query: 0,
            series: Vec::new(),
            labels_len: 0,
            out: Vec::new(),
        }
    }

    /// Begins a series of the query with this index; `labels` are canonical label bytes.
    pub fn begin_series(&mut self, query: usize, labels: &[u8]) {
        self.query = query as u64;
        self.series.clear();
        self.series.extend_from_slice(labels);
        self.labels_len = labels.len();
    }

    /// Adds a chunk to the open series; in order of time.
    pub fn chunk(&mut self, chunk: ChunkRef<'_>) {
        let has_chunks = self.series.len() > self.labels_len;
        if has_chunks && self.series.len() + message_len(&chunk) + OVERHEAD > self.frame_max {
            self.end_frame();
        }
        self.series.push(CHUNKS);
        put_varint(&mut self.series, message_len(&chunk) as u64);
        for (tag, number) in [
            (0x08, chunk.first_ms as u64),
            (0x10, chunk.last_ms as u64),
            (0x18, u64::from(chunk.kind)),
        ] {
            if number != 0 {
                self.series.push(tag);
                put_varint(&mut self.series, number);
            }
        }
        if !chunk.data.is_empty() {
            self.series.push(0x22);
            put_varint(&mut self.series, chunk.data.len() as u64);
            self.series.extend_from_slice(chunk.data);
        }
    }

    /// Ends the series. One without a chunk is left out unless `keep_empty` says that its labels
    /// alone are wanted.
    pub fn end_series(&mut self, keep_empty: bool) {
        if self.series.len() > self.labels_len || keep_empty {
            self.end_frame();
        }
    }

    /// Bytes of the frames that are complete and were not taken yet.
    pub fn ready(&self) -> usize {
        self.out.len()
    }

    /// The complete frames; the writer goes on behind them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn end_frame(&mut self) {
        let mut message = Vec::with_capacity(self.series.len() + 24);
        message.push(SERIES);
        put_varint(&mut message, self.series.len() as u64);
        message.extend_from_slice(&self.series);
        if self.query != 0 {
            message.push(0x10);
            put_varint(&mut message, self.query);
        }
        put_varint(&mut self.out, message.len() as u64);
        self.out
            .extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        self.out.extend_from_slice(&message);
        self.series.truncate(self.labels_len);
    }
}

/// Bytes of a `Chunk` message.
fn message_len(chunk: &ChunkRef<'_>) -> usize {
    let number = |n: u64| if n == 0 { 0 } else { 1 + varint_len(n) };
    let data = match chunk.data.len() {
        0 => 0,
        n => 1 + varint_len(n as u64) + n,
    };
    number(chunk.first_ms as u64)
        + number(chunk.last_ms as u64)
        + number(u64::from(chunk.kind))
        + data
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::{field, proto};

    const LABELS: &[u8] = b"\x0a\x06\x0a\x01a\x12\x01b";

    fn chunk(i: i64, data: &[u8]) -> ChunkRef<'_> {
        ChunkRef {
            first_ms: i * 100,
            last_ms: i * 100 + 99,
            kind: 1,
            data,
        }
    }

    /// The messages of all frames, their checksums compared.
    fn messages(bytes: &[u8]) -> Vec<proto::ChunkedReadResponse> {
        let mut at = 0;
        let mut found = Vec::new();
        while at < bytes.len() {
            let len = field::varint(bytes, &mut at).unwrap() as usize;
            let crc = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let message = &bytes[at + 4..at + 4 + len];
            assert_eq!(crc, crc32c::crc32c(message));
            let read = proto::ChunkedReadResponse::decode(message).unwrap();
            assert_eq!(read.encode_to_vec(), message, "as prost writes it");
            found.push(read);
            at += 4 + len;
        }
        found
    }

    #[test]
    fn a_frame_has_one_series_its_query_and_its_checksum() {
        let mut frames = FrameWriter::new(1 << 20);
        frames.begin_series(0, LABELS);
        frames.chunk(chunk(0, b"xyz"));
        frames.chunk(chunk(-7, b""));
        frames.end_series(false);
        frames.begin_series(300, LABELS);
        frames.end_series(false);
        frames.begin_series(300, LABELS);
        frames.end_series(true);
        let bytes = frames.take();
        assert_eq!(frames.ready(), 0);
        let read = messages(&bytes);
        assert_eq!(
            read.len(),
            2,
            "an empty series is left out unless it is wanted"
        );
        assert_eq!((read[0].query_index, read[1].query_index), (0, 300));
        let chunks = &read[0].chunked_series[0].chunks;
        assert_eq!((chunks[0].max_time_ms, &*chunks[0].data), (99, &b"xyz"[..]));
        assert_eq!((chunks[1].min_time_ms, chunks[1].r#type), (-700, 1));
        assert_eq!(read[1].chunked_series[0].labels[0].name, "a");
        assert!(read[1].chunked_series[0].chunks.is_empty());
    }

    #[test]
    fn a_long_series_is_split_and_no_chunk_is_lost() {
        let data = [7; 150];
        let mut frames = FrameWriter::new(1000);
        frames.begin_series(1, LABELS);
        for i in 0..50 {
            frames.chunk(chunk(i, &data));
        }
        let huge = [8; 3000];
        frames.chunk(chunk(50, &huge));
        frames.end_series(false);
        let read = messages(&frames.take());
        let (last, others) = read.split_last().unwrap();
        assert!(
            others
                .iter()
                .all(|m| (500..1000).contains(&m.encoded_len()))
        );
        assert_eq!(last.chunked_series[0].chunks.len(), 1);
        let times: Vec<_> = read
            .iter()
            .inspect(|m| assert_eq!(m.query_index, 1))
            .flat_map(|m| &m.chunked_series)
            .inspect(|s| assert_eq!(s.labels.len(), 1))
            .flat_map(|s| s.chunks.iter().map(|c| c.min_time_ms))
            .collect();
        assert_eq!(times, (0..51).map(|i| i * 100).collect::<Vec<_>>());
    }
}
