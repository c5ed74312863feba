//! The `Authorization` header, made anew for each request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::{ClientError, file};
use crate::config::ClientConfig;

/// The header, if the configuration or the address says who we are.
pub(super) async fn header(
    config: &ClientConfig,
    user: Option<(&str, &str)>,
    url: &str,
) -> Result<Option<HeaderValue>, ClientError> {
    let text = if let Some((name, password)) = user {
        basic(name, password)
    } else if let Some(name) = &config.basic_auth.username {
        let password = match (
            &config.basic_auth.password_file,
            &config.basic_auth.password,
        ) {
            (Some(path), _) => secret(&file(path, url).await?),
            (None, Some(password)) => password.reveal().to_owned(),
            (None, None) => String::new(),
        };
        basic(name, &password)
    } else {
        let authorization = &config.authorization;
        let credentials = match (&authorization.credentials_file, &authorization.credentials) {
            (Some(path), _) => secret(&file(path, url).await?),
            (None, Some(credentials)) => credentials.reveal().to_owned(),
            (None, None) => return Ok(None),
        };
        format!("{} {credentials}", authorization.kind)
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| ClientError::Config {
        url: url.to_owned(),
        what: "the credentials have characters that a header cannot have".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// What a file says, without the line break that editors leave at its end.
fn secret(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
