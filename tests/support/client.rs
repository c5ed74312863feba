//! A client that says exactly the bytes it is told to.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use prost::Message as _;
use saimon::wire::proto;

/// A guard against tests that hang; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// GETs a path with these header lines (each ended by CRLF).
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    /// POSTs a body to the write path with these header lines (each ended by CRLF).
    pub(crate) fn post(&mut self, headers: &str, body: &[u8]) -> Response {
        self.post_to("/api/v1/write", headers, body)
    }

    /// POSTs a body with these header lines (each ended by CRLF).
    pub(crate) fn post_to(&mut self, path: &str, headers: &str, body: &[u8]) -> Response {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat());
        self.response()
    }

    /// POSTs JSON.
    pub(crate) fn post_json(&mut self, path: &str, body: &str) -> Response {
        self.post_to(path, "content-type: application/json\r\n", body.as_bytes())
    }

    /// DELETEs a path.
    pub(crate) fn delete(&mut self, path: &str) -> Response {
        self.send(format!("DELETE {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        self.response()
    }

    /// POSTs a write request as Prometheus does.
    pub(crate) fn write(&mut self, request: &proto::WriteRequest) -> Response {
        self.post(WRITE_HEADERS, &snappy(&request.encode_to_vec()))
    }

    /// True if the server closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn more(&mut self) {
        let mut some = [0; 64 * 1024];
        let n = self.stream.read(&mut some).unwrap();
        assert!(
            n > 0,
            "closed in the middle: {:?}",
            String::from_utf8_lossy(&self.read)
        );
        self.read.extend_from_slice(&some[..n]);
    }

    pub(crate) fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|w| w == mark) {
                let rest = self.read.split_off(at + mark.len());
                return std::mem::replace(&mut self.read, rest);
            }
            self.more();
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            self.more();
        }
        let rest = self.read.split_off(n);
        std::mem::replace(&mut self.read, rest)
    }

    pub(crate) fn response(&mut self) -> Response {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if let Some(n) = response.header("content-length") {
            let n = n.parse().unwrap();
            response.body = self.take(n);
        } else if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = String::from_utf8(self.until(b"\r\n")).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = self.take(size + 2);
                chunk.truncate(size);
                response.body.extend(chunk);
                if size == 0 {
                    break;
                }
            }
        }
        response
    }
}

/// What Prometheus sends with a write request.
pub(crate) const WRITE_HEADERS: &str = "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\nx-prometheus-remote-write-version: 0.1.0\r\nuser-agent: test\r\n";

pub(crate) fn snappy(raw: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(raw).unwrap()
}
