//! zstd frames against the library's streaming reader, and there and back; the limit holds.

use std::io::Read as _;

use saimon::wire::snappy::BodyPool;
use saimon::wire::zstd::is_frame;

const LIMIT: usize = 64 * 1024;

/// What a plain reader makes of a body that we have read.
fn streamed(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let reader = zstd::stream::Decoder::new(data)?;
    reader.take(LIMIT as u64 + 1).read_to_end(&mut out)?;
    Ok(out)
}

pub fn check(data: &[u8]) {
    let pool = BodyPool::new(1);
    for _ in 0..2 {
        if let Ok(body) = pool.decompress_zstd(data, LIMIT) {
            assert!(body.len() <= LIMIT);
            // Reading piece by piece asks more of a frame: memory for its window, no block longer
            // than that. Where both read, they must have read the same.
            if let Ok(theirs) = streamed(data) {
                assert!(theirs == body[..]);
            }
        }
    }
    let frame = zstd::bulk::compress(data, 1).expect("short");
    assert!(is_frame(&frame));
    let back = pool
        .decompress_zstd(&frame, data.len())
        .expect("a whole frame");
    assert!(back[..] == *data);
    if let Some(less) = data.len().checked_sub(1) {
        assert!(pool.decompress_zstd(&frame, less).is_err());
    }
    for cut in [1, 4, frame.len() / 2, frame.len() - 1] {
        assert!(pool.decompress_zstd(&frame[..cut], LIMIT).is_err());
    }
}
