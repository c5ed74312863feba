//! Real servers with a past: a Prometheus, a VictoriaMetrics. Each is killed when dropped.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderValue};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use saimon::client::Client;
use saimon::config::ClientConfig;
use saimon::config::client::Address;
use saimon::wire::proto;

/// For a server to answer its first request on a busy machine.
const START: Duration = Duration::from_secs(60);
pub(crate) const USER: &str = "saimon";
pub(crate) const PASSWORD: &str = "open sesame";
/// Of the password, at the least cost there is.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

/// What a series is, as tests write it.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

pub(crate) struct Store {
    child: Child,
    /// Its base address.
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    /// How it wants to be asked.
    pub(crate) client: ClientConfig,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Prometheus that scrapes nothing, takes remote write and has external labels `cluster="eu"` and
/// `replica="a"`. A secure one speaks TLS and wants a password.
pub(crate) fn prometheus(secure: bool) -> Store {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(
        file("prometheus.yml"),
        "global:\n  external_labels: {cluster: eu, replica: a}\n",
    )
    .unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(flag("--config.file=", &file("prometheus.yml")))
        .arg(flag("--storage.tsdb.path=", &file("data")))
        .arg("--storage.tsdb.retention.time=30d")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver");
    let mut client = ClientConfig::default();
    if secure {
        certificates(folder.path());
        let web = format!(
            "tls_server_config: {{cert_file: {}, key_file: {}}}\nbasic_auth_users: {{{USER}: \"{BCRYPT}\"}}\n",
            file("cert.pem").display(),
            file("key.pem").display()
        );
        std::fs::write(file("web.yml"), web).unwrap();
        std::fs::write(file("password"), PASSWORD).unwrap();
        command.arg(flag("--web.config.file=", &file("web.yml")));
        client.basic_auth.username = Some(USER.to_owned());
        client.basic_auth.password_file = Some(file("password"));
        client.tls_config.ca_file = Some(file("ca.pem"));
    }
    let scheme = if secure { "https" } else { "http" };
    let store = Store {
        child: spawn(&mut command, &file("log")),
        url: format!("{scheme}://127.0.0.1:{port}"),
        folder,
        client,
    };
    store.wait("/-/ready");
    store
}

pub(crate) fn victoria_metrics() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new("victoria-metrics");
    command
        .arg(flag("-storageDataPath=", &folder.path().join("data")))
        .arg("-retentionPeriod=1")
        .arg("-memory.allowedPercent=5")
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    let store = Store {
        child: spawn(&mut command, &folder.path().join("log")),
        url: format!("http://127.0.0.1:{port}"),
        folder,
        client: ClientConfig::default(),
    };
    store.wait("/health");
    store
}

impl Store {
    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.url).unwrap()
    }

    /// GETs or POSTs; status and body.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), String> {
        let client = Client::new(&self.address(), &self.client).unwrap();
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            ),
            (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        ];
        let headers = if body.is_empty() { &[][..] } else { &headers };
        runtime().block_on(async {
            let sent = client.send(method, path, headers, Bytes::from(body)).await;
            let answer = sent.map_err(|e| e.to_string())?;
            let status = answer.status.as_u16();
            let body = answer.body.all(64 << 20).await.map_err(|e| e.to_string())?;
            Ok((status, body))
        })
    }

    fn wait(&self, path: &str) {
        let since = std::time::Instant::now();
        loop {
            let answer = self.ask(Method::GET, path, Vec::new());
            if matches!(answer, Ok((200, _))) {
                return;
            }
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(since.elapsed() < START, "{answer:?}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Gives it a past: series with (milliseconds, value), all of one range of time.
    pub(crate) fn feed(&self, series: &[(Labels<'_>, Vec<(i64, f64)>)]) {
        let body = snap::raw::Encoder::new()
            .compress_vec(&write_request(series).encode_to_vec())
            .unwrap();
        let (status, text) = self.ask(Method::POST, "/api/v1/write", body).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!((200..300).contains(&status), "{status} {text}");
    }
}

pub(crate) fn write_request(series: &[(Labels<'_>, Vec<(i64, f64)>)]) -> proto::WriteRequest {
    let timeseries = series.iter().map(|(labels, samples)| {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        proto::TimeSeries {
            labels: labels
                .into_iter()
                .map(|(name, value)| proto::Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            samples: samples
                .iter()
                .map(|(timestamp, value)| proto::Sample {
                    value: *value,
                    timestamp: *timestamp,
                })
                .collect(),
            ..Default::default()
        }
    });
    proto::WriteRequest {
        timeseries: timeseries.collect(),
        ..Default::default()
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// An authority and a certificate for 127.0.0.1.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &authority).unwrap();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", signed.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn spawn(command: &mut Command, log: &PathBuf) -> Child {
    let log = std::fs::File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}{}", path.display())
}

/// Below the range from which the kernel takes the ports of outgoing connections.
fn free_port() -> u16 {
    let start = fastrand::u16(20_000..32_000);
    (start..32_000)
        .chain(20_000..start)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}
