//! A. Compression, broken bodies and limits (items 11 to 24).

use super::*;

const ZSTD: &str = "content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\nx-victoriametrics-remote-write-version: 1\r\nuser-agent: vmagent\r\n";

fn zstd(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap()
}

#[test]
fn item_011_zstd_is_taken_as_vmagent_sends_it() {
    let saimon = Saimon::start();
    let response = saimon.connect().post(ZSTD, &zstd(&one(NOW_MS, 1.5).raw()));
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.5)]));
    // Streams do not say how long they will be.
    let mut stream = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    stream.write_all(&one(NOW_MS + 1, 2.5).raw()).unwrap();
    let body = stream.finish().unwrap();
    assert_eq!(saimon.connect().post(ZSTD, &body).status, 204);
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.5), (NOW_MS + 1, 2.5)]));
}

#[test]
fn item_012_a_body_labelled_with_the_other_compression_is_read() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    assert_eq!(client.post(ZSTD, &one(NOW_MS, 1.0).body()).status, 204);
    let body = zstd(&one(NOW_MS + 1, 2.0).raw());
    assert_eq!(client.post(WRITE_HEADERS, &body).status, 204);
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]));
    for headers in [ZSTD, WRITE_HEADERS] {
        assert_eq!(client.post(headers, b"neither of them").status, 400);
    }
}

#[test]
fn item_013_the_version_of_vmagents_protocol_is_told() {
    let saimon = Saimon::start();
    let response = saimon.get("/api/v1/write?get_vm_proto_version=1", "");
    assert_eq!((response.status, response.text().trim()), (200, "1"));
    // Without the question it is a GET like any other.
    assert_eq!(saimon.get("/api/v1/write?x=1", "").status, 405);
}

#[test]
fn item_014_framed_snappy_gets_400() {
    let saimon = Saimon::start();
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    framed.write_all(&one(NOW_MS, 1.0).raw()).unwrap();
    let framed = framed.into_inner().unwrap();
    assert!(framed.starts_with(b"\xff\x06\x00\x00sNaPpY"));
    for headers in [WRITE_HEADERS, v2::HEADERS] {
        refused(&saimon, headers, &framed);
        refused(&saimon, headers, b"\xff\x06\x00\x00sNaPpY");
    }
    assert!(saimon.held().is_empty());
}

#[test]
fn item_015_corrupt_snappy_gets_400() {
    let saimon = Saimon::start();
    let samples: Vec<_> = (0..40).map(|i| (NOW_MS + i, 0.0)).collect();
    let request = v1::Request::new().series(UP, &samples);
    let whole = request.body();
    let mut longer = whole.clone();
    longer[0] ^= 1;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..].fill(0xff);
    let bad: [&[u8]; 7] = [
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
        &whole[..1],
        &[&whole, b"tail".as_slice()].concat(),
        &longer,
        &flipped,
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for body in bad {
        for headers in [WRITE_HEADERS, v2::HEADERS] {
            refused(&saimon, headers, body);
        }
    }
    assert!(saimon.held().is_empty());
    assert_eq!(saimon.write(&request).status, 204);
}

/// Messages that begin well and are broken at the end.
fn broken(good: &[u8]) -> Vec<Vec<u8>> {
    let with = |tail: &[u8]| [good, tail].concat();
    vec![
        good[..good.len() - 1].to_vec(),
        // A length that goes beyond the end; a number without end; wire types 6 and 7; field 0; a
        // group that ends where none began, and one that has no end.
        with(&[0x0a, 0x7f]),
        with(&[0x80; 11]),
        with(&[0x0e]),
        with(&[0x0f]),
        with(&[0x00, 0x01]),
        with(&[0x0c]),
        with(&[0x6b]),
        // A series where a number should be; a known field as another type.
        Raw::new().then(good).varint(1, 7).varint(5, 7).0,
        b"no protobuf at all".to_vec(),
    ]
}

#[test]
fn item_016_broken_protobuf_gets_400_and_nothing_of_it_is_taken() {
    let saimon = Saimon::start();
    for body in broken(&one(NOW_MS, 1.0).raw()) {
        refused(&saimon, WRITE_HEADERS, &snappy(&body));
    }
    for body in broken(&one_v2(NOW_MS, 1.0).raw()) {
        refused(&saimon, v2::HEADERS, &snappy(&body));
    }
    // Broken within a series that comes after a good one.
    let inner = raw::series(&[(b"__name__", b"x")], NOW_MS, 1.0);
    for bad in [
        inner.clone().then(&[0x12, 0x7f]),
        inner.clone().varint(1, 1),
        inner.clone().double(2, 1.0),
        inner.clone().message(2, &Raw::new().varint(1, 3)),
        inner.clone().message(2, &Raw::new().double(2, 3.0)),
        inner.message(1, &Raw::new().varint(1, 3)),
    ] {
        let body = Raw(one(NOW_MS, 1.0).raw()).message(1, &bad);
        refused(&saimon, WRITE_HEADERS, &snappy(&body.0));
    }
    assert!(saimon.held().is_empty());
    assert_eq!(saimon.counters().outcomes(), [], "as if it had never come");
}

#[test]
fn item_017_unknown_fields_of_every_wire_type_are_skipped() {
    let saimon = Saimon::start();
    let label = |name: &[u8], value: &[u8]| raw::label(name, value).unknown();
    let series = Raw::new()
        .unknown()
        .message(1, &label(b"__name__", b"up"))
        .unknown()
        .message(1, &label(b"job", b"a"))
        .unknown()
        .message(
            2,
            &Raw::new()
                .unknown()
                .double(1, 1.5)
                .unknown()
                .int(2, NOW_MS)
                .unknown(),
        )
        .unknown()
        .message(3, &Raw::new().unknown().double(2, 1.0).unknown());
    let metadata = Raw::new().unknown().varint(1, 2).bytes(2, b"up").unknown();
    let request = Raw::new()
        .unknown()
        .message(1, &series)
        .unknown()
        .message(3, &metadata)
        // Field 2 is Cortex's source.
        .varint(2, 1)
        .unknown();
    let response = saimon.connect().post(WRITE_HEADERS, &snappy(&request.0));
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.5)]));
    assert_eq!(saimon.held().len(), 1);

    let series = Raw::new()
        .unknown()
        .packed(1, &[1, 2, 3, 4])
        .unknown()
        .message(
            2,
            &Raw::new()
                .unknown()
                .double(1, 2.5)
                .int(2, NOW_MS + 1)
                .unknown(),
        )
        .message(5, &Raw::new().unknown().varint(1, 2).varint(2, 9).unknown())
        .unknown();
    let mut request = Raw::new().unknown();
    for symbol in ["", "__name__", "up", "job", "a"] {
        request = request.bytes(4, symbol.as_bytes()).unknown();
    }
    let request = request.message(5, &series).unknown();
    let response = saimon.connect().post(v2::HEADERS, &snappy(&request.0));
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.5), (NOW_MS + 1, 2.5)]));
}

#[test]
fn item_018_chunked_bodies_expectations_and_kept_connections_work() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{WRITE_HEADERS}");
    // Byte by byte, with extensions and a trailer.
    client.send(format!("{head}transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n").as_bytes());
    for byte in one(NOW_MS, 1.0).body() {
        client.send(&[b"1;name=value\r\n".as_slice(), &[byte], b"\r\n"].concat());
    }
    client.send(b"0\r\nx-sum: 1\r\n\r\n");
    assert_eq!(client.response().status, 204);
    let body = one(NOW_MS + 1, 1.0).body();
    let length = body.len();
    client
        .send(format!("{head}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n").as_bytes());
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(&body);
    assert_eq!(client.response().status, 204);
    for i in 2..100 {
        assert_eq!(
            client
                .post(WRITE_HEADERS, &one(NOW_MS + i, 1.0).body())
                .status,
            204
        );
    }
    // Two requests sent before the first answer.
    for i in 100..102 {
        let body = one(NOW_MS + i, 1.0).body();
        let head = format!("{head}content-length: {}\r\n\r\n", body.len());
        client.send(&[head.as_bytes(), &body].concat());
    }
    assert_eq!(client.response().status, 204);
    assert_eq!(client.response().status, 204);
    assert_eq!(up(&saimon).len(), 102);
    // Who expects to be refused is told so before the body.
    let mut client = saimon.connect();
    client.send(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n");
    assert_eq!(client.response().status, 415);
}

#[test]
fn item_019_a_declared_length_above_the_limit_is_refused_before_memory_is_taken() {
    let data = tempfile::tempdir().unwrap();
    let saimon = Serving::start(data.path());
    let mut client = saimon.connect();
    // A warm-up, so that all threads have what they need.
    assert_eq!(client.post(WRITE_HEADERS, b"\0").status, 204);
    let before = (saimon.memory("VmPeak"), saimon.memory("VmHWM"));
    for headers in [WRITE_HEADERS, v2::HEADERS, ZSTD] {
        for claim in [
            &b"\xff\xff\xff\xff\x0f\x00"[..],
            b"\xff\xff\xff\xff\x07\x00",
            b"\x80\x80\x80\x10\x00\x00",
        ] {
            assert_eq!(client.post(headers, claim).status, 400);
        }
    }
    // The same claim in a zstd frame: magic, a header with an eight-byte content size.
    let frame = [
        &b"\x28\xb5\x2f\xfd\xe0"[..],
        &(1u64 << 32).to_le_bytes(),
        b"\x01\0\0",
    ]
    .concat();
    for headers in [WRITE_HEADERS, ZSTD] {
        assert_eq!(client.post(headers, &frame).status, 400);
    }
    let grown = (
        saimon.memory("VmPeak").saturating_sub(before.0),
        saimon.memory("VmHWM").saturating_sub(before.1),
    );
    assert!(grown.0 < 256 << 20, "address space grew by {}", grown.0);
    assert!(grown.1 < 32 << 20, "memory grew by {}", grown.1);
}

#[test]
fn item_020_a_compressed_body_above_the_limit_is_refused_while_it_is_read() {
    let saimon = Saimon::with(|setup| setup.limits.body = bytesize::ByteSize::kib(64));
    for headers in [WRITE_HEADERS, v2::HEADERS] {
        let response = saimon.connect().post(headers, &vec![0; (64 << 10) + 1]);
        assert_eq!(
            response.status, 400,
            "vmagent would send 413 again for ever"
        );
        // Announced only: the answer does not wait for the body.
        let mut client = saimon.connect();
        let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{headers}");
        client.send(format!("{head}content-length: 1000000000\r\n\r\n").as_bytes());
        assert_eq!(client.response().status, 400);
        // Not announced, and without end.
        let mut client = saimon.connect();
        client.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
        let chunk = [&b"8000\r\n"[..], &[0; 0x8000], b"\r\n"].concat();
        for _ in 0..3 {
            client.send(&chunk);
        }
        assert_eq!(client.response().status, 400);
    }
    assert_eq!(saimon.write(&one(NOW_MS, 1.0)).status, 204);
}

#[test]
fn item_021_a_bomb_stays_within_the_raw_limit() {
    let data = tempfile::tempdir().unwrap();
    let saimon = Serving::start(data.path());
    let mut client = saimon.connect();
    assert_eq!(client.post(WRITE_HEADERS, b"\0").status, 204);
    let before = saimon.memory("VmHWM");
    let limit = LimitsConfig::default().body_raw.as_u64() as usize;
    // 256 MiB of zeros in about 24 KiB (one frame that says so, one that does not), and in 12 MiB.
    let zeros = vec![0; 8 * limit];
    let mut stream = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    stream.write_all(&zeros).unwrap();
    let unsaid = stream.finish().unwrap();
    let said = zstd(&zeros);
    assert!(said.len() < 100_000 && unsaid.len() < 100_000);
    let many = said.repeat(4);
    for body in [&said, &unsaid, &many] {
        for headers in [ZSTD, WRITE_HEADERS] {
            let response = client.post(headers, body);
            assert_eq!(response.status, 400, "{}", response.text());
        }
    }
    // Many frames, each within the limit.
    let frames = zstd(&zeros[..limit / 2]).repeat(16);
    assert_eq!(client.post(ZSTD, &frames).status, 400);
    drop(unsaid);
    let block = snappy(&zeros);
    assert_eq!(client.post(WRITE_HEADERS, &block).status, 400);
    let grown = saimon.memory("VmHWM") - before;
    assert!(
        grown < 3 * limit as u64,
        "memory grew by {grown}, the limit is {limit}"
    );
}

#[test]
fn item_022_an_empty_request_is_fine_and_an_empty_body_is_not() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let response = client.post(WRITE_HEADERS, b"\0");
    assert_eq!((response.status, response.body.len()), (204, 0));
    let response = client.post(v2::HEADERS, b"\0");
    assert_eq!(response.status, 204);
    assert_eq!(v2::written(&response), Some((0, 0, 0)));
    assert_eq!(client.post(ZSTD, &zstd(b"")).status, 204);
    for headers in [WRITE_HEADERS, v2::HEADERS, ZSTD] {
        assert_eq!(client.post(headers, b"").status, 400);
    }
    assert!(saimon.held().is_empty());
}

#[test]
fn item_023_full_queues_get_503_with_retry_after_and_take_nothing() {
    let saimon = Saimon::with(|setup| {
        setup.shards = 2;
        setup.limits.queue_batches = 2;
        setup.limits.queue_wait = std::time::Duration::from_millis(50);
    });
    // Enough series for both shards to have some.
    let at = |t_ms: i64| {
        (0..64).fold(v1::Request::new(), |request, i| {
            let i = i.to_string();
            request.series(&[("__name__", "m"), ("i", &i)], &[(t_ms, 1.0)])
        })
    };
    saimon.clock.close(&[0, 1]);
    let mut client = saimon.connect();
    let mut taken = 0;
    let refused = loop {
        let response = client.post(WRITE_HEADERS, &at(NOW_MS + taken).body());
        if response.status != 204 {
            break response;
        }
        taken += 1;
        assert!(taken < 10, "shards that stand still take batch after batch");
    };
    assert_eq!(refused.status, 503);
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    let v2 = v2::Request::new().series(&[("__name__", "m"), ("i", "1")], &[(NOW_MS + taken, 1.0)]);
    let response = client.post(v2::HEADERS, &v2.body());
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    saimon.clock.open();
    let held = saimon.held();
    assert_eq!(held.len(), 64);
    for (series, held) in &held {
        assert_eq!(held.samples.len() as i64, taken, "{series}");
    }
    // What was refused is sent again, byte for byte.
    assert_eq!(
        client
            .post(WRITE_HEADERS, &at(NOW_MS + taken).body())
            .status,
        204
    );
    let held = saimon.held();
    assert!(held.values().all(|h| h.samples.len() as i64 == taken + 1));
}

#[test]
fn item_024_after_a_bad_request_the_next_good_one_is_decoded_rightly() {
    let saimon = Saimon::with(|setup| setup.limits.writes_at_once = 1);
    let mut same = saimon.connect();
    let unsorted = v1::Request::new()
        .series(&[("job", "b"), ("__name__", "odd")], &[(NOW_MS, 1.0)])
        .series(&[("a", "1"), ("a", "2")], &[(NOW_MS, 1.0)])
        .body();
    let bad: Vec<(&str, Vec<u8>)> = broken(&one(NOW_MS, 9.0).raw())
        .into_iter()
        .map(|body| (WRITE_HEADERS, snappy(&body)))
        .chain(
            broken(&one_v2(NOW_MS, 9.0).raw())
                .into_iter()
                .map(|body| (v2::HEADERS, snappy(&body))),
        )
        .chain([
            (WRITE_HEADERS, unsorted),
            (WRITE_HEADERS, b"\xff\xff\xff\xff\x0f\x00".to_vec()),
            (ZSTD, b"\x28\xb5\x2f\xfd broken".to_vec()),
            ("content-encoding: gzip\r\n", b"whatever".to_vec()),
        ])
        .collect();
    let mut sent = Vec::new();
    let check = |client: &mut Client, sent: &mut Vec<(i64, f64)>| {
        for (headers, is_v2) in [(WRITE_HEADERS, false), (v2::HEADERS, true)] {
            let sample = (NOW_MS + sent.len() as i64, sent.len() as f64);
            let body = if is_v2 {
                v2::Request::new()
                    .series(UP, &[sample])
                    .series(LOAD, &[sample])
                    .body()
            } else {
                v1::Request::new()
                    .series(UP, &[sample])
                    .series(LOAD, &[sample])
                    .body()
            };
            assert_eq!(client.post(headers, &body).status, 204);
            sent.push(sample);
        }
    };
    for (headers, body) in &bad {
        let status = same.post(headers, body).status;
        assert!(status == 400 || status == 415, "{status}");
        check(&mut same, &mut sent);
        check(&mut saimon.connect(), &mut sent);
    }
    for series in [UP, LOAD] {
        assert_eq!(saimon.samples(&labels(series)), bits(&sent));
    }
    assert_eq!(
        saimon.held().len(),
        3,
        "and the one good series of a bad request"
    );
}
