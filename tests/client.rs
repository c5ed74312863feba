//! The HTTP client against real sockets: who it says it is, whom it believes, and what it keeps to
//! itself.

#[path = "support/peer.rs"]
mod peer;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use peer::{Peer, Reply};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use saimon::client::{Answer, Client, ClientError};
use saimon::config::ClientConfig;
use saimon::config::client::Address;
use serde_json::json;

fn config(of: serde_json::Value) -> ClientConfig {
    serde_json::from_value(of).unwrap()
}

async fn get(client: &Client) -> Result<Answer, ClientError> {
    client.send(Method::GET, "/x?y=z", &[], Bytes::new()).await
}

fn client(url: &str, of: serde_json::Value) -> Client {
    Client::new(&Address::parse(url).unwrap(), &config(of)).unwrap()
}

#[tokio::test]
async fn credentials_and_headers_are_sent_and_files_are_read_again() {
    let peer = Peer::start(|_, _| Reply::new(200, *b"ok"));
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "one\n").unwrap();
    let basic = client(
        &peer.url,
        json!({"basic_auth": {"username": "me", "password_file": secret},
            "headers": {"X-Scope-OrgID": "team"}}),
    );
    let bearer = client(
        &peer.url,
        json!({"authorization": {"credentials_file": secret}}),
    );
    let host = peer.url.trim_start_matches("http://");
    let in_address = client(&format!("http://me:p%40ss@{host}/prom/"), json!({}));
    for of in [&basic, &bearer] {
        get(of).await.unwrap();
    }
    std::fs::write(&secret, "two").unwrap();
    for of in [&basic, &bearer, &in_address] {
        get(of).await.unwrap();
    }
    let asked = peer.asked();
    let sent: Vec<_> = asked
        .iter()
        .map(|a| a.header("authorization").unwrap())
        .collect();
    assert_eq!(
        sent,
        [
            "Basic bWU6b25l",
            "Bearer one",
            "Basic bWU6dHdv",
            "Bearer two",
            "Basic bWU6cEBzcw=="
        ]
    );
    assert_eq!(asked[0].header("x-scope-orgid"), Some("team"));
    assert_eq!(asked[1].header("x-scope-orgid"), None);
    assert_eq!(asked[4].path, "/prom/x?y=z");
    assert_eq!(asked[4].header("host"), Some(host));

    std::fs::remove_file(&secret).unwrap();
    let error = get(&basic).await.unwrap_err().to_string();
    assert!(error.contains("secret cannot be read"), "{error}");
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = gone.local_addr().unwrap();
    drop(gone);
    let client = client(
        &format!("http://me:hunter2@{host}"),
        json!({"headers": {"X-Key": "hunter2"}}),
    );
    let error = get(&client).await.unwrap_err();
    for said in [
        error.to_string(),
        format!("{error:?}"),
        format!("{client:?}"),
    ] {
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.contains(&format!("http://***@{host}")), "{said}");
    }
    assert!(error.to_string().contains("refused"), "{error}");
    let both = config(json!({"basic_auth": {"username": "a"}}));
    let address = Address::parse("http://me:hunter2@h").unwrap();
    let error = Client::new(&address, &both).unwrap_err().to_string();
    assert!(
        error.contains("basic_auth") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test]
async fn answers_have_a_bound_and_a_time() {
    let peer = Peer::start(|_, asked| match &*asked.path {
        "/x?y=z" => Reply::new(200, vec![7; 1000]),
        _ => Reply::new(200, *b"half").cut(),
    });
    let asker = client(&peer.url, json!({}));
    let answer = get(&asker).await.unwrap();
    assert_eq!(answer.body.all(1000).await.unwrap().len(), 1000);
    let answer = get(&asker).await.unwrap();
    let error = answer.body.all(999).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { max: 999, .. }));
    let answer = asker.send(Method::GET, "/cut", &[], Bytes::new()).await;
    let error = answer.unwrap().body.all(999).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let asker = client(&url, json!({"remote_timeout": "100ms"}));
    let error = get(&asker).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Late { after, .. } if after == Duration::from_millis(100)),
        "{error}"
    );
}

/// An authority, and certificates that it signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// (certificate, key) in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

/// Answers one request on each connection over TLS; gives the address and a place whose certificate
/// can be exchanged.
struct TlsPeer {
    url: String,
    identity: Arc<Mutex<(String, String)>>,
}

impl TlsPeer {
    fn start(identity: (String, String), clients: Option<String>, tls12_only: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let identity = Arc::new(Mutex::new(identity));
        let current = Arc::clone(&identity);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config =
                    server_config(&current.lock().unwrap(), clients.as_deref(), tls12_only);
                let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
                let mut stream = rustls::StreamOwned::new(session, stream);
                let mut head = [0; 4096];
                if stream.read(&mut head).is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
                    );
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        Self { url, identity }
    }
}

fn server_config(
    (cert, key): &(String, String),
    clients: Option<&str>,
    tls12_only: bool,
) -> rustls::ServerConfig {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match tls12_only {
        true => &[&rustls::version::TLS12],
        false => rustls::ALL_VERSIONS,
    };
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
            roots.add(ca).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}

async fn ok(client: &Client) -> Result<(), String> {
    let answer = get(client).await.map_err(|e| e.to_string())?;
    let body = answer.body.all(10).await.map_err(|e| e.to_string())?;
    assert_eq!(body, b"ok");
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_server_is_believed_if_its_authority_and_its_name_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new(), Authority::new());
    let ca = write(folder.path(), "ca.pem", &ours.0.pem());
    let peer = TlsPeer::start(ours.sign("127.0.0.1"), None, false);

    let knowing = client(&peer.url, json!({"tls_config": {"ca_file": ca}}));
    ok(&knowing).await.unwrap();
    // Of nobody that the system trusts.
    let error = ok(&client(&peer.url, json!({}))).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    ok(&client(
        &peer.url,
        json!({"tls_config": {"insecure_skip_verify": true}}),
    ))
    .await
    .unwrap();
    // Another name than the one in the address.
    let named = |name: &str| {
        client(
            &peer.url,
            json!({"tls_config": {"ca_file": ca, "server_name": name}}),
        )
    };
    assert!(ok(&named("prometheus.example")).await.is_err());
    *peer.identity.lock().unwrap() = ours.sign("prometheus.example");
    ok(&named("prometheus.example")).await.unwrap();
    assert!(ok(&named("other.example")).await.is_err());

    // The authority changes on both sides: the file is read again.
    *peer.identity.lock().unwrap() = others.sign("127.0.0.1");
    assert!(ok(&knowing).await.is_err());
    write(folder.path(), "ca.pem", &others.0.pem());
    ok(&knowing).await.unwrap();
    write(folder.path(), "ca.pem", "no certificate");
    let error = ok(&knowing).await.unwrap_err();
    assert!(error.contains("ca_file"), "{error}");
}

#[tokio::test]
async fn a_server_may_want_a_certificate_and_a_client_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let ca = write(folder.path(), "ca.pem", &ours.0.pem());
    let (cert, key) = ours.sign("saimon");
    let (cert, key) = (
        write(folder.path(), "cert.pem", &cert),
        write(folder.path(), "key.pem", &key),
    );
    let peer = TlsPeer::start(ours.sign("127.0.0.1"), Some(ours.0.pem()), true);
    let with = |tls: serde_json::Value| client(&peer.url, json!({"tls_config": tls}));
    ok(&with(
        json!({"ca_file": ca, "cert_file": cert, "key_file": key}),
    ))
    .await
    .unwrap();
    assert!(ok(&with(json!({"ca_file": ca}))).await.is_err());
    let newer = json!({"ca_file": ca, "cert_file": cert, "key_file": key, "min_version": "TLS13"});
    assert!(ok(&with(newer)).await.is_err());
}
