//! A receiver of remote write that does what a script says, and keeps what it was sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use prost::Message as _;
use saimon::wire::proto::{WriteRequest, v2};

/// What it does with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    /// A status and header lines, each ended by CRLF.
    Answers(u16, &'static str),
    /// 2xx as a receiver of 2.0 answers, with the number of samples that it found.
    Writes,
    /// Closes the connection instead of answering.
    Closes,
}

/// Labels in the order they were sent.
pub(crate) type Labels = Vec<(String, String)>;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// It was answered with 2xx.
    pub(crate) taken: bool,
}

impl Received {
    /// All values of one header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.header("content-type")
            == ["application/x-protobuf;proto=io.prometheus.write.v2.Request"]
    }

    fn raw(&self) -> Vec<u8> {
        let mut raw = vec![0; snap::raw::decompress_len(&self.body).unwrap()];
        let mut decoder = snap::raw::Decoder::new();
        decoder.decompress(&self.body, &mut raw).unwrap();
        raw
    }

    pub(crate) fn v1(&self) -> WriteRequest {
        WriteRequest::decode(self.raw().as_slice()).unwrap()
    }

    pub(crate) fn v2(&self) -> v2::Request {
        v2::Request::decode(self.raw().as_slice()).unwrap()
    }

    /// Labels, timestamp and bits of each sample.
    pub(crate) fn samples(&self) -> Vec<(Labels, i64, u64)> {
        let mut out = Vec::new();
        if self.is_v2() {
            let request = self.v2();
            for series in request.timeseries {
                let text = |at: &u32| request.symbols[*at as usize].clone();
                let labels: Vec<String> = series.labels_refs.iter().map(text).collect();
                let labels: Vec<_> = labels
                    .chunks(2)
                    .map(|pair| (pair[0].clone(), pair[1].clone()))
                    .collect();
                for sample in series.samples {
                    out.push((labels.clone(), sample.timestamp, sample.value.to_bits()));
                }
            }
        } else {
            for series in self.v1().timeseries {
                let pairs = series.labels.into_iter().map(|l| (l.name, l.value));
                let labels: Vec<_> = pairs.collect();
                for sample in series.samples {
                    out.push((labels.clone(), sample.timestamp, sample.value.to_bits()));
                }
            }
        }
        out
    }
}

/// Accepts connections until the test ends.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Vec<Received>>>,
}

/// Decides by the number of the request and what it is.
type Script = dyn Fn(usize, &Received) -> Does + Send + Sync;

impl Receiver {
    pub(crate) fn start(script: impl Fn(usize, &Received) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (into, script): (_, Arc<Script>) = (Arc::clone(&kept), Arc::new(script));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (into, script) = (Arc::clone(&into), Arc::clone(&script));
                std::thread::spawn(move || serve(connection, &stream, &into, &*script));
            }
        });
        Self { address, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().clone()
    }

    /// Those that were answered with 2xx and are not metadata alone.
    pub(crate) fn taken(&self) -> Vec<Received> {
        let mut all = self.received();
        all.retain(|r| r.taken && !r.samples().is_empty());
        all
    }
}

fn serve(connection: usize, stream: &TcpStream, kept: &Mutex<Vec<Received>>, script: &Script) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert!(line.starts_with("POST /api/v1/write "), "{line}");
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut received = Received {
            connection,
            headers,
            body: Vec::new(),
            taken: false,
        };
        let length = received.header("content-length")[0].parse().unwrap();
        received.body = vec![0; length];
        reader.read_exact(&mut received.body).unwrap();
        let mut kept = kept.lock().unwrap();
        let does = script(kept.len(), &received);
        let samples = received.samples().len();
        received.taken = matches!(does, Does::Writes | Does::Answers(200..=299, _));
        kept.push(received);
        drop(kept);
        let (status, headers) = match does {
            Does::Closes => return,
            Does::Answers(status, headers) => (status, headers.to_owned()),
            Does::Writes => (
                204,
                format!(
                    "X-Prometheus-Remote-Write-Samples-Written: {samples}\r\nX-Prometheus-Remote-Write-Histograms-Written: 0\r\nX-Prometheus-Remote-Write-Exemplars-Written: 0\r\n"
                ),
            ),
        };
        let body = if status == 204 {
            ""
        } else {
            "content-length: 2\r\n"
        };
        let text = if status == 204 { "" } else { "no" };
        let answer = format!("HTTP/1.1 {status} x\r\n{headers}{body}\r\n{text}");
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Runs `saimon generate --push` with these words to its end.
pub(crate) fn push(url: &str, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_saimon"))
        .args(["generate", "--push", url, "--json"])
        .args(words.split_whitespace())
        .output()
        .unwrap()
}

/// What such a run says of itself.
pub(crate) fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}
