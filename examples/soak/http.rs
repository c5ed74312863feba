//! HTTP as simply as it can be: one request, one connection, an answer with a length.

use std::io::{Error, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(60);

/// Status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>)> {
    send(address, &format!("GET {path} HTTP/1.1\r\n"), &[])
}

/// The same with a body in protobuf and snappy.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    version: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n{version}\r\ncontent-length: {}\r\n",
        body.len()
    );
    send(address, &head, body)
}

fn send(address: SocketAddr, head: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(format!("{head}host: soak\r\nconnection: close\r\n\r\n").as_bytes())?;
    // An answer may come before all is sent: a refusal.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let Some(end) = end else {
        return Err(sent.err().unwrap_or_else(|| Error::other("no answer")));
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head
        .get(9..12)
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| Error::other("no status"))?;
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
        .and_then(|l| l.trim().parse::<usize>().ok());
    let body = answer.split_off(end + 4);
    if length.is_some_and(|l| l != body.len()) {
        return Err(Error::other("a part of an answer"));
    }
    Ok((status, body))
}
