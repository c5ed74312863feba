//! Snappy blocks against the library's own way, and there and back.

use saimon::wire::snappy::BodyPool;

const LIMIT: usize = 64 * 1024;

pub fn check(data: &[u8]) {
    let pool = BodyPool::new(1);
    // Twice, so that the second finds a used buffer.
    for _ in 0..2 {
        let ours = pool.decompress(data, LIMIT).map(|body| body.to_vec());
        let declared = snap::raw::decompress_len(data).ok();
        let theirs = declared
            .filter(|n| *n <= LIMIT && !data.is_empty())
            .and_then(|n| {
                let mut out = vec![0; n];
                let written = snap::raw::Decoder::new().decompress(data, &mut out).ok()?;
                (written == n).then_some(out)
            });
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => assert!(ours == theirs),
            (Err(_), None) => {}
            (ours, theirs) => panic!(
                "ours: {:?}, theirs: {:?}",
                ours.map(|o| o.len()),
                theirs.map(|t| t.len())
            ),
        }
    }
    let block = snap::raw::Encoder::new().compress_vec(data).expect("short");
    let back = pool.decompress(&block, data.len()).expect("a whole block");
    assert!(back[..] == *data);
    if let Some(less) = data.len().checked_sub(1) {
        assert!(pool.decompress(&block, less).is_err());
    }
}
