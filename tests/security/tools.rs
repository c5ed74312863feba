//! curl and openssl.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::identities::{Authority, curl, status, until, user};
use crate::serving::Serving;

fn s_client(folder: &Path, port: u16, arguments: &[&str]) -> String {
    let done = Command::new("openssl")
        .current_dir(folder)
        .args(["s_client", "-CAfile", "ca.pem", "-servername", "localhost"])
        .args(["-verify_return_error", "-connect"])
        .arg(format!("localhost:{port}"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

fn start(folder: &Path, web: &str) -> Serving {
    let file = folder.join("web.yml");
    std::fs::write(&file, web).unwrap();
    let config = folder.join("saimon.yaml");
    std::fs::write(&config, "limits: {header_wait: 3s}\n").unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    let arguments = ["--config", config, "--web.config.file", file];
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &arguments)
}

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

#[test]
fn nobody_without_tls_and_credentials_is_answered_and_all_of_it_changes_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder);
    authority.issue("server", "localhost");
    let web = |users: &str| format!("{TLS}  min_version: TLS12\nbasic_auth_users:\n{users}");
    let saimon = start(folder, &web(&user("alice", "one")));
    let port = saimon.address.port();
    let alice = |password: &str| format!("alice:{password}");
    let is = |path: &str, who: &str| status(folder, port, path, &["-u", who]);

    for path in ["/", "/-/healthy", "/-/ready", "/metrics", "/nowhere"] {
        assert_eq!(status(folder, port, path, &[]), "401", "{path}");
        assert_eq!(is(path, &alice("two")), "401", "{path}");
    }
    assert_eq!(is("/-/healthy", &alice("one")), "200");
    assert_eq!(is("/nowhere", &alice("one")), "404");
    let shown = curl(
        folder,
        port,
        "/",
        &[
            "-u",
            "alice:one",
            "--http2",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
        ],
    );
    assert_eq!(shown, "2");
    let shown = curl(
        folder,
        port,
        "/",
        &[
            "-u",
            "alice:one",
            "--http1.1",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
        ],
    );
    assert_eq!(shown, "1.1");
    // Who never ends a handshake is let go.
    let silent = [&b""[..], b"\x16\x03\x01"].map(|first| {
        let mut silent = saimon.connect();
        silent.send(first);
        silent
    });
    for mut silent in silent {
        let mut rest = Vec::new();
        let _ = silent.stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
    // Plain HTTP gets no answer.
    let plain = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-u", "alice:one"])
        .arg(format!("http://localhost:{port}/metrics"))
        .output()
        .unwrap();
    assert!(!plain.status.success() && plain.stdout.is_empty());

    let shown = s_client(folder, port, &["-alpn", "h2,http/1.1"]);
    assert!(
        shown.contains("ALPN protocol: h2") && shown.contains("TLSv1.3"),
        "{shown}"
    );
    assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    let shown = s_client(folder, port, &["-tls1_2"]);
    assert!(
        shown.contains("Verify return code: 0 (ok)") && shown.contains("TLSv1.2"),
        "{shown}"
    );
    let shown = s_client(folder, port, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(
        !shown.contains("Verify return code: 0 (ok)") || shown.contains("Cipher is (NONE)"),
        "{shown}"
    );

    // Another password and another certificate, by the files alone.
    std::fs::write(folder.join("web.yml"), web(&user("alice", "two"))).unwrap();
    until("the new password", || {
        (is("/", &alice("two")) == "200").then_some(())
    });
    assert_eq!(is("/", &alice("one")), "401");
    let newer = authority.issue("server", "localhost");
    let newest = newer.lines().nth(5).unwrap();
    until("the new certificate", || {
        s_client(folder, port, &[]).contains(newest).then_some(())
    });

    // Whatever is wrong leaves it as it was.
    let ok = || {
        let page = curl(folder, port, "/metrics", &["-u", "alice:two"]);
        page.lines()
            .find_map(|l| l.strip_prefix("saimon_web_config_ok ").map(str::to_owned))
    };
    assert_eq!(ok().as_deref(), Some("1"));
    for wrong in ["", "basic_auth_users: {alice: secret}", "{", TLS] {
        std::fs::write(folder.join("web.yml"), wrong).unwrap();
        until("the file is found wrong", || (ok()? == "0").then_some(()));
        assert_eq!(is("/", &alice("two")), "200");
        assert_eq!(status(folder, port, "/", &[]), "401");
        std::fs::write(folder.join("web.yml"), web(&user("alice", "two"))).unwrap();
        until("the file is right again", || (ok()? == "1").then_some(()));
    }
}

#[test]
fn clients_need_the_certificate_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder);
    authority.issue("server", "localhost");
    authority.issue("agent", "agent.example");
    authority.issue("other", "other.example");
    let strange = tempfile::tempdir().unwrap();
    Authority::new(strange.path()).issue("agent", "agent.example");
    let web = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [agent.example]\n"
    );
    let saimon = start(folder, &web);
    let port = saimon.address.port();
    let with = |cert: &Path| {
        let file = |end: &str| cert.with_extension(end).display().to_string();
        let (pem, key) = (file("pem"), file("key"));
        status(folder, port, "/metrics", &["--cert", &pem, "--key", &key])
    };
    assert_eq!(with(&folder.join("agent")), "200");
    assert_eq!(with(&folder.join("other")), "000");
    assert_eq!(with(&strange.path().join("agent")), "000");
    assert_eq!(status(folder, port, "/metrics", &[]), "000");
}
