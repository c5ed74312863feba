//! One blocking HTTP request at a time, to a server on this machine.
//!
//! HTTP/1.0 on purpose: the answer then ends with the connection and is never chunked, so that a
//! client is thirty lines. It knows no TLS, no redirects and no other hosts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A server on this machine that takes longer than this for one answer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// No page of the stack comes near it.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Any answer, whatever its status.
pub(crate) fn get(port: u16, path: &str) -> Result<Answer> {
    request(port, "GET", path, "", "")
}

/// The body of a 200.
pub(crate) fn page(port: u16, path: &str) -> Result<String> {
    let answer = get(port, path)?;
    if answer.status != 200 {
        bail!(
            "GET {path} on port {port} answered {}: {}",
            answer.status,
            answer.body.trim()
        );
    }
    Ok(answer.body)
}

pub(crate) fn post_json(port: u16, path: &str, body: &serde_json::Value) -> Result<Answer> {
    request(port, "POST", path, "application/json", &body.to_string())
}

fn request(port: u16, method: &str, path: &str, kind: &str, body: &str) -> Result<Answer> {
    let about = || format!("{method} {path} on port {port}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(about)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n");
    if !kind.is_empty() {
        head.push_str(&format!(
            "Content-Type: {kind}\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .with_context(about)?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .with_context(about)?;
    parse(&answer).with_context(about)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("the answer has no end of its headers")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.get(..3))
        .and_then(|s| s.parse().ok())
        .context("the answer has no status")?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

/// Percent-encodes a value of a query string.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}
