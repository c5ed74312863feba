//! Authorities, certificates and files for a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A guard against tests that hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An authority whose certificate lies in `ca.pem`.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self {
            issuer,
            folder: folder.to_owned(),
        }
    }

    /// Writes `NAME.pem` and `NAME.key`; gives the certificate.
    pub(crate) fn issue(&self, name: &str, san: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([san.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.folder.join(format!("{name}.pem")), &certificate).unwrap();
        certificate
    }
}

/// A line of `basic_auth_users`, with the least cost that there is.
pub(crate) fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
}

/// What curl prints.
pub(crate) fn curl(folder: &Path, port: u16, path: &str, arguments: &[&str]) -> String {
    let done = Command::new("curl")
        .current_dir(folder)
        .args(["-sS", "--max-time", "20", "--cacert", "ca.pem"])
        .args(arguments)
        .arg(format!("https://localhost:{port}{path}"))
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// The status that curl is answered with, `000` for no answer.
pub(crate) fn status(folder: &Path, port: u16, path: &str, arguments: &[&str]) -> String {
    let all: Vec<_> = ["-o", "/dev/null", "-w", "%{http_code}\n"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let said = curl(folder, port, path, &all);
    said.lines().next().unwrap_or_default().to_owned()
}

/// Waits until it gives something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
