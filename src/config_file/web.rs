//! The web configuration: read, checked, made into a door.

use std::path::Path;

use super::check::{self, Mistake};
use super::load::LoadError;
use super::shape;
use super::yaml::Node;
use crate::config::web::WebFile;
use crate::expose::secure::Door;

/// The door that a web configuration means; reads the files it names too. Blocks.
///
/// # Errors
///
/// A file that cannot be read, or one with mistakes.
pub fn open(path: &Path) -> Result<Door, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    door(&text, folder).map_err(|mistakes| LoadError::Mistakes {
        path: Some(path.to_owned()),
        mistakes,
    })
}

/// Every mistake of a web configuration that lies in `folder`.
pub fn mistakes(text: &str, folder: &Path) -> Vec<Mistake> {
    door(text, folder).err().unwrap_or_default()
}

/// True if this is a web configuration, or means to be one.
pub fn is_web(root: &Node) -> bool {
    [
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "bearer_tokens",
    ]
    .iter()
    .any(|key| root.get(key).is_some())
}

fn door(text: &str, folder: &Path) -> Result<Door, Vec<Mistake>> {
    let mut door = None;
    check::read_as::<WebFile>(text, &shape::web(), |walk, file| {
        let mut file = file.clone();
        file.beside(folder);
        // What is wrong by itself would only be said twice.
        if walk.is_clean() {
            match Door::new(&file) {
                Ok(made) => door = Some(made),
                Err(error) => walk.at_key(&error.key, error.what),
            }
        }
    })?;
    Ok(door.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let found = super::mistakes(text, dir.path());
        found.iter().map(ToString::to_string).collect()
    }

    const HASH: &str = "$2y$04$saltsaltsaltsaltsaltsuPAMqNE.BQR1NLLHLUpWb3DwBU2Yt4HK";

    #[test]
    fn each_mistake_has_its_line() {
        for (text, said) in [
            (
                "tls_server_config:\n  cert_file: a.pem\n",
                "tls_server_config: has no `key_file`",
            ),
            (
                "tls_server_config:\n  cert_fil: a.pem\n",
                "2:3: tls_server_config.cert_fil: unknown key, did you mean `cert_file`?",
            ),
            (
                "tls_server_config:\n  min_version: TLS10\n",
                "2:16: tls_server_config.min_version: ",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}\n",
                "cipher_suites: \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not there, choose of `TLS_ECDHE_",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, curve_preferences: [CurveP521]}\n",
                "\"CurveP521\" is not there, choose of `X25519`",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}\n",
                "client_auth_type: needs `client_ca_file`",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}\n",
                "client_ca_file: is there, and `client_auth_type` asks no client",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}\n",
                "max_version: is older than `min_version`",
            ),
            (
                "tls_server_config:\n  cert_file: /nowhere/a\n  key_file: b\n",
                "2:14: tls_server_config.cert_file: /nowhere/a cannot be read",
            ),
            (
                "basic_auth_users:\n  alice: secret\n",
                "2:3: basic_auth_users.alice: is not a hash of bcrypt",
            ),
            (
                "http_server_config:\n  headers:\n    Set-Cookie: a\n",
                "3:5: http_server_config.headers.Set-Cookie: cannot be set here",
            ),
            (
                "bearer_tokens:\n  - {name: a, token: short, rights: [read]}\n",
                "bearer_tokens[0].token: has less than 16 characters",
            ),
            (
                "bearer_tokens:\n  - {name: a, token: long-enough-to-be-one}\n",
                "bearer_tokens[0]: has no `rights`",
            ),
            (
                "user_rights:\n  - {user: bob, rights: [read]}\n",
                "user_rights[0].user: \"bob\" is not one of `basic_auth_users`",
            ),
        ] {
            let found = mistakes(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(said), "{text}: {}", found[0]);
        }
    }

    #[test]
    fn no_mistake_shows_a_secret() {
        let text = format!(
            "basic_auth_users:\n  alice: {HASH}x\nbearer_tokens:\n  - {{name: a, token: sesame, rights: [read]}}\n"
        );
        let found = mistakes(&text).join("\n");
        assert!(!found.is_empty());
        assert!(
            !found.contains("$2y$") && !found.contains("sesame"),
            "{found}"
        );
    }

    #[test]
    fn an_empty_file_lets_everybody_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        std::fs::write(&path, "").unwrap();
        let door = open(&path).unwrap();
        assert!(!door.has_tls() && !door.has_credentials());
    }
}
