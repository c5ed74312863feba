//! Deadlines and limits of connections, and the end of the server.

use std::io::Write as _;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::server::{Client, NOW_MS, Server, WRITE_HEADERS, request, snappy};
use prost::Message as _;

fn hurried() -> Server {
    Server::start(|limits| limits.header_wait = Duration::from_millis(100))
}

#[test]
fn a_silent_connection_is_closed() {
    assert!(hurried().connect().is_closed());
}

#[test]
fn half_a_head_half_a_preface_and_a_single_letter_are_closed() {
    let server = hurried();
    // "P" begins both POST and the preface of HTTP/2.
    for half in ["P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
        let mut client = server.connect();
        client.send(half.as_bytes());
        assert!(client.is_closed(), "{half:?}");
    }
}

#[test]
fn half_a_second_head_is_closed_after_a_first_whole_one() {
    let server = hurried();
    let mut client = server.connect();
    client.send(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send(b"GET /-/heal");
    assert!(client.is_closed());
}

#[test]
fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let server = hurried();
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.response().status, 200);
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_head_sent_byte_by_byte_is_read() {
    let server = Server::start(|_| {});
    let mut client = server.connect();
    for byte in b"PUT /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n" {
        client.send(&[*byte]);
        client.stream.flush().unwrap();
    }
    let response = client.response();
    assert_eq!(response.status, 405);
    assert!(response.header("allow").unwrap().contains("GET"));
}

#[test]
fn past_the_limit_connections_wait_their_turn() {
    let server = Server::start(|limits| limits.connections = 1);
    let ask = |client: &mut Client| client.send(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut first = server.connect();
    ask(&mut first);
    assert_eq!(first.response().status, 200);
    let mut second = server.connect();
    ask(&mut second);
    let wait = Some(Duration::from_millis(200));
    second.stream.set_read_timeout(wait).unwrap();
    let early = std::io::Read::read(&mut second.stream, &mut [0]);
    assert!(
        early.is_err(),
        "answered while the first held the only place"
    );
    let patience = Some(Duration::from_secs(20));
    second.stream.set_read_timeout(patience).unwrap();
    drop(first);
    assert_eq!(second.response().status, 200);
}

#[test]
fn a_body_that_never_ends_gets_503_so_that_nothing_is_lost() {
    let server = Server::start(|limits| limits.request = Duration::from_millis(100));
    let mut client = server.connect();
    client.send(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc");
    let response = client.response();
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert!(client.is_closed());
}

#[test]
fn a_reader_that_never_reads_loses_its_connection_and_not_its_place() {
    let mut server = Server::start(|limits| {
        limits.connections = 1;
        limits.request = Duration::from_millis(300);
        limits.score_lines = 1_000_000;
    });
    // More than any socket buffer holds.
    for i in 0..20_000 {
        let instance = format!("host-{i:01100}");
        let labels = [("__name__", "m"), ("instance", &*instance)];
        let at = server
            .board
            .add_labels(&saimon::series::labels::encode(labels));
        server.board.set(at, 0.5, None);
    }
    server.board.publish_labels();
    let mut stuck = server.connect();
    stuck.send(b"GET /metrics/scores HTTP/1.1\r\nhost: x\r\n\r\n");
    // The only place becomes free although the first connection is open.
    assert_eq!(server.get("/-/healthy", "").status, 200);
    drop(stuck);
}

#[test]
fn http2_with_prior_knowledge_works() {
    let server = Server::start(|_| {});
    let text = server.runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let uri = format!("http://{}/-/healthy", server.address);
        let request = http::Request::get(uri)
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        response.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(&text[..], b"saimon is healthy\n");
}

#[test]
fn at_the_end_requests_under_way_are_finished_and_idle_connections_closed() {
    let mut server = Server::start(|_| {});
    let mut idle = server.connect();
    idle.send(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let mut silent = server.connect();
    let mut busy = server.connect();
    let labels: &[_] = &[("__name__", "m")];
    let body = snappy(&request(&[(labels, &[(NOW_MS, 1.0)])]).encode_to_vec());
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{WRITE_HEADERS}content-length: {}\r\n\r\n",
        body.len()
    );
    busy.send(head.as_bytes());
    // Now the request is certainly under way.
    busy.until(b"100 Continue\r\n\r\n");
    server.shutdown.cancel();
    assert!(idle.is_closed());
    assert!(silent.is_closed());
    busy.send(&body);
    assert_eq!(busy.response().status, 204);
    assert!(busy.is_closed());
    let served = &mut server.served;
    server.runtime.block_on(served).unwrap();
    assert_eq!(server.received().len(), 1);
    assert!(std::net::TcpStream::connect(server.address).is_err());
}
