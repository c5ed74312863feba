//! The servers that are measured, each alone in a folder of its own.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;

use crate::stack::process::{Process, Watchdog};
use crate::stack::{http, pages, ports};

const START: Duration = Duration::from_secs(20);
/// For samples that were acknowledged to be counted.
const COUNT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Saimon,
    VictoriaMetrics,
    Vmagent,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Saimon, Self::VictoriaMetrics, Self::Vmagent];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Saimon => "saimon",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Vmagent => "vmagent",
        }
    }

    /// What it does with a sample.
    pub(crate) fn work(self) -> &'static str {
        match self {
            Self::Saimon => "scores it, keeps a window",
            Self::VictoriaMetrics => "stores it",
            Self::Vmagent => "relays it",
        }
    }

    fn health(self) -> &'static str {
        match self {
            Self::Saimon => "/-/ready",
            Self::VictoriaMetrics | Self::Vmagent => "/health",
        }
    }

    /// Its own counter of received samples, and the labels that must be there.
    fn counter(self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        match self {
            Self::Saimon => ("saimon_ingest_samples_total", &[("outcome", "accepted")]),
            Self::VictoriaMetrics => ("vm_rows_inserted_total", &[("type", "promremotewrite")]),
            Self::Vmagent => (
                "vmagent_rows_inserted_total",
                &[("type", "promremotewrite")],
            ),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    process: Process,
    port: u16,
    // after the process, which writes into it
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        // beside the build, on a disk: /tmp is memory on some machines, and would be counted
        let folder = tempfile::Builder::new()
            .prefix("peers-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let watchdog: Arc<Watchdog> = Watchdog::start(Some(folder.path()))?;
        let [port, null] = ports::free()?;
        let dir = folder.path().display();
        let listen = format!("127.0.0.1:{port}");
        let mut command = match kind {
            Kind::Saimon => {
                let mut command = Command::new(crate::SAIMON);
                command
                    .arg("serve")
                    .args(["--http-listen", &listen, "--grpc-listen", "off"])
                    .args(["--data-dir", &format!("{dir}/data")])
                    .args(["--log-level", "warn"]);
                command
            }
            Kind::VictoriaMetrics => {
                let mut command = Command::new("victoria-metrics");
                command
                    .arg(format!("-httpListenAddr={listen}"))
                    .arg(format!("-storageDataPath={dir}/data"))
                    .arg("-loggerLevel=WARN");
                command
            }
            Kind::Vmagent => {
                null_receiver(null)?;
                let mut command = Command::new("vmagent");
                command
                    .arg(format!("-httpListenAddr={listen}"))
                    .arg(format!("-remoteWrite.url=http://127.0.0.1:{null}/write"))
                    .arg(format!("-remoteWrite.tmpDataPath={dir}/queue"))
                    .arg("-loggerLevel=WARN");
                command
            }
        };
        let mut process = Process::start(kind.name(), &mut command, folder.path(), &watchdog)?;
        process.wait_for("it answers", START, || {
            http::page(port, kind.health()).ok().map(|_| ())
        })?;
        Ok(Self {
            kind,
            process,
            port,
            _folder: folder,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/write", self.port)
    }

    fn received(&self) -> Result<u64> {
        let (name, labels) = self.kind.counter();
        let page = http::page(self.port, "/metrics")?;
        Ok(pages::samples(&page)?
            .iter()
            .filter(|s| s.name == name)
            .filter(|s| {
                labels
                    .iter()
                    .all(|(k, v)| s.labels.get(*k).is_some_and(|l| l == v))
            })
            .map(|s| s.value as u64)
            .sum())
    }

    /// An error unless its own counter comes to exactly `samples`.
    pub(crate) fn wait_until_received(&mut self, samples: u64) -> Result<()> {
        let (port, kind) = (self.port, self.kind);
        let mut last = 0;
        let this = &*self;
        let mut ready = || {
            last = this.received().ok()?;
            (last >= samples).then_some(last)
        };
        let start = std::time::Instant::now();
        let counted = loop {
            if let Some(counted) = ready() {
                break counted;
            }
            if start.elapsed() > COUNT {
                anyhow::bail!(
                    "{} on port {port} counts {last} of {samples} acknowledged samples",
                    kind.name()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        anyhow::ensure!(
            counted == samples,
            "{} counts {counted} samples, {samples} were sent",
            kind.name()
        );
        Ok(())
    }
}

/// Takes everything, keeps nothing, until this process ends.
fn null_receiver(port: u16) -> Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).context("the null receiver")?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(throw_away)),
                );
            }
        });
    });
    Ok(())
}

async fn throw_away(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
