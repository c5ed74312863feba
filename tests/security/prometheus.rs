//! A real Prometheus that writes, scrapes and reads with a password over TLS.

use std::process::{Child, Command, Stdio};

use crate::identities::{Authority, curl, until, user};
use crate::serving::Serving;

/// Killed when dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_writes_scrapes_and_reads_with_its_password_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Authority::new(folder).issue("server", "localhost");
    let web = format!(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\nbasic_auth_users:\n{}{}bearer_tokens:\n  - {{name: scraper, token_file: token, rights: [scrape]}}\nuser_rights:\n  - {{user: prometheus, rights: [write, read]}}\n",
        user("prometheus", "through the door"),
        user("me", "myself"),
    );
    std::fs::write(folder.join("web.yml"), web).unwrap();
    std::fs::write(folder.join("token"), "a-token-of-some-length\n").unwrap();
    std::fs::write(folder.join("password"), "through the door\n").unwrap();
    let web = folder.join("web.yml");
    let arguments = ["--web.config.file", web.to_str().unwrap()];
    let saimon = Serving::start_with(&folder.join("data"), "127.0.0.1:0", &arguments);
    let port = saimon.address.port();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free.local_addr().unwrap().port();
    drop(free);
    let config = format!(
        r#"
global: {{scrape_interval: 1s, external_labels: {{from: here}}}}
remote_write:
  - url: https://localhost:{port}/api/v1/write
    basic_auth: {{username: prometheus, password_file: password}}
    tls_config: {{ca_file: ca.pem}}
    queue_config: {{batch_send_deadline: 1s}}
remote_read:
  - url: https://localhost:{port}/api/v1/read
    read_recent: true
    basic_auth: {{username: prometheus, password_file: password}}
    tls_config: {{ca_file: ca.pem}}
scrape_configs:
  - job_name: self
    static_configs: [{{targets: ['localhost:{own}']}}]
  - job_name: saimon
    scheme: https
    authorization: {{credentials_file: token}}
    tls_config: {{ca_file: ca.pem}}
    static_configs: [{{targets: ['localhost:{port}']}}]
  - job_name: without
    scheme: https
    tls_config: {{ca_file: ca.pem}}
    static_configs: [{{targets: ['localhost:{port}']}}]
"#
    );
    std::fs::write(folder.join("prometheus.yml"), &config).unwrap();
    // One that only reads.
    let reads = config.split("remote_write:").next().unwrap().to_owned();
    let read = &config[config.find("remote_read:").unwrap()..];
    let read = read.split("scrape_configs:").next().unwrap();
    std::fs::write(folder.join("reader.yml"), reads + read).unwrap();
    let run = |file: &str, data: &str| {
        let child = Command::new("prometheus")
            .current_dir(folder)
            .arg(format!("--config.file={file}"))
            .arg(format!("--storage.tsdb.path={data}"))
            .arg(format!("--web.listen-address=127.0.0.1:{own}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus(child)
    };
    let query = |what: &str| {
        let done = Command::new("curl")
            .args(["-sS", "-G", "--data-urlencode", &format!("query={what}")])
            .arg(format!("http://127.0.0.1:{own}/api/v1/query"))
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&done.stdout).ok()?;
        let value = answer["data"]["result"][0]["value"][1].as_str()?;
        value.parse::<f64>().ok()
    };
    let first = run("prometheus.yml", "tsdb");
    until("it is scraped with its token", || {
        query("up{job=\"saimon\"} == 1")
    });
    until("without a token it is not", || {
        query("up{job=\"without\"} == 0")
    });
    let scraped = "scrape_samples_scraped{job=\"self\"}";
    let scraped = until("it scrapes itself", || query(scraped));
    // More than two scrapes: `up`, the last of each, is among them.
    until("samples are taken", || {
        let page = curl(folder, port, "/metrics", &["-u", "me:myself"]);
        let taken = page.lines().filter(|l| {
            l.starts_with("saimon_ingest_samples_total") && l.contains("outcome=\"accepted\"")
        });
        let number = taken.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
        let number: f64 = number.sum();
        (number > 2.5 * scraped).then_some(())
    });
    let failed = "sum(prometheus_remote_storage_samples_failed_total)";
    assert_eq!(until("its own numbers", || query(failed)), 0.0);
    drop(first);
    // One that scrapes nothing and has an empty disk reads what the first one wrote.
    let _second = run("reader.yml", "empty");
    until("it reads from saimon", || {
        query("count_over_time(up{job=\"self\"}[10m]) > 0")
    });
}
