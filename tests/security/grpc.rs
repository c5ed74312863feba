//! gRPC behind the same door: TLS, certificates of clients, users, tokens and rights; and what
//! docs/grpc.md shows in Python, run by Python.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use saimon::expose::grpc::v1;
use saimon::expose::grpc::v1::saimon_client::SaimonClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tonic::{Code, Request, Status};

use crate::identities::{Authority, PATIENCE, user};
use crate::serving::Serving;

/// Where a saimon serves gRPC: it says so when it is ready.
fn port(saimon: &Serving) -> u16 {
    let ready = saimon.seen.iter().rev();
    let at = ready.filter_map(|l| l.split("grpc=").nth(1)).next();
    let at = at.and_then(|rest| rest.split_whitespace().next()).unwrap();
    let (_, port) = at.trim_matches('"').rsplit_once(':').unwrap();
    port.parse().unwrap()
}

fn start(folder: &Path, web: &str) -> Serving {
    let file = folder.join("web.yml");
    std::fs::write(&file, web).unwrap();
    let arguments = ["--web.config.file", file.to_str().unwrap()];
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &arguments)
}

/// A channel over TLS to whom `ca.pem` knows as localhost, with a certificate of one's own or without.
async fn channel(folder: &Path, port: u16, own: Option<&str>) -> Result<Channel, Error> {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_slice(&read(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_slice(&read(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = tls.connect(name, stream).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The scheme is that of what the connector gives.
    let endpoint = Endpoint::from_static("http://localhost").timeout(PATIENCE);
    endpoint.connect_with_connector(connect).await
}

fn with<T>(message: T, who: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !who.is_empty() {
        let value = AsciiMetadataValue::try_from(who).unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn basic(who: &str) -> String {
    format!("Basic {}", STANDARD.encode(who))
}

async fn status(client: &mut SaimonClient<Channel>, who: &str) -> Result<(), Status> {
    let asked = client.get_status(with(v1::GetStatusRequest {}, who)).await;
    asked.map(|_| ())
}

async fn config(client: &mut SaimonClient<Channel>, who: &str) -> Result<(), Status> {
    let asked = client.get_config(with(v1::GetConfigRequest {}, who)).await;
    asked.map(|_| ())
}

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

#[test]
fn calls_need_tls_credentials_and_rights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder);
    authority.issue("server", "localhost");
    let users = user("alice", "one");
    // HTTP/2 off is for the other port: gRPC has nothing else.
    let saimon = start(
        folder,
        &format!(
            "{TLS}http_server_config: {{http2: false}}\nbasic_auth_users:\n{users}\
             bearer_tokens: [{{name: reader, token: a-token-of-some-length, rights: [read]}}]\n"
        ),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let at = port(&saimon);
        let mut client = SaimonClient::new(channel(folder, at, None).await.unwrap());
        let (alice, reader) = (basic("alice:one"), "Bearer a-token-of-some-length");
        for who in ["", "Bearer another-token-of-length", &basic("alice:two")] {
            let refused = status(&mut client, who).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{who}");
        }
        assert!(status(&mut client, &alice).await.is_ok());
        assert!(config(&mut client, &alice).await.is_ok());
        assert!(status(&mut client, reader).await.is_ok());
        let refused = config(&mut client, reader).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "reader has no right to admin");

        // Without TLS nobody is answered.
        let plain = Endpoint::from_shared(format!("http://127.0.0.1:{at}")).unwrap();
        if let Ok(plain) = plain.timeout(PATIENCE).connect().await {
            let mut client = SaimonClient::new(plain);
            assert!(status(&mut client, &alice).await.is_err());
        }
    });
}

#[test]
fn certificates_of_clients_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder);
    authority.issue("server", "localhost");
    authority.issue("reader", "reader.example");
    authority.issue("stranger", "stranger.example");
    let saimon = start(
        folder,
        &format!(
            "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  \
             client_allowed_sans: [reader.example]\n"
        ),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let at = port(&saimon);
        let reader = channel(folder, at, Some("reader")).await.unwrap();
        assert!(status(&mut SaimonClient::new(reader), "").await.is_ok());
        for own in [None, Some("stranger")] {
            // With TLS 1.3 the client hears of it with its first call.
            if let Ok(other) = channel(folder, at, own).await {
                let mut other = SaimonClient::new(other);
                assert!(status(&mut other, "").await.is_err(), "{own:?}");
            }
        }
    });
}

/// The blocks of Python in docs/grpc.md.
fn blocks() -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/grpc.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let blocks = guide.split("```python\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|b| b.split("```").next().unwrap().to_owned())
        .collect();
    assert_eq!(blocks.len(), 4, "how many are expected here");
    blocks
}

fn python(script: &str, folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, script).unwrap();
    let done = Command::new("scripts/grpc-python.sh")
        .arg(&file)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{wrong}\n{script}");
    said
}

#[test]
#[ignore = "needs grpcio, which is fetched from PyPI once: make check-grpc"]
fn what_the_guide_shows_in_python_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut blocks = blocks().into_iter();
    let mut next = || blocks.next().unwrap();
    let (list, tls, watch, score) = (next(), next(), next(), next());

    std::fs::create_dir(folder.join("plain")).unwrap();
    let saimon = start(&folder.join("plain"), "");
    let here =
        |script: String| script.replace("localhost:9926", &format!("localhost:{}", port(&saimon)));
    let script = format!(
        "{}{watch}{score}\nfor cursor in watch():\n    if cursor:\n        break\n\
         print('cursor', len(cursor))\nassert next(watch(cursor))\n",
        here(list)
    );
    let said = python(&script, folder, "plain.py");
    for part in ["saimon 0.1.0 is ready", "score 0.", " spike", "cursor 3"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    drop(saimon);

    let authority = Authority::new(folder);
    authority.issue("server", "localhost");
    let users = user("prometheus", "secret");
    let saimon = start(folder, &format!("{TLS}basic_auth_users:\n{users}"));
    let imports = "import grpc\nfrom saimon.v1 import service_pb2_grpc, system_pb2\n";
    let ca = folder.join("ca.pem").display().to_string();
    let tls = tls
        .replace(
            "saimon.example:9926",
            &format!("localhost:{}", port(&saimon)),
        )
        .replace("ca.pem", &ca);
    assert!(python(&format!("{imports}{tls}"), folder, "tls.py").contains("ready"));
    // Without the user it is refused.
    let nobody = tls.replace(", metadata=who", "");
    let nobody = format!(
        "{imports}try:\n    {}\nexcept grpc.RpcError as e:\n    print(e.code())\n",
        nobody.trim().replace('\n', "\n    ")
    );
    assert!(python(&nobody, folder, "nobody.py").contains("UNAUTHENTICATED"));
}
