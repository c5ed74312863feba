//! `/docs`: the description of the API for people, as Swagger UI shows it.
//!
//! Its files are part of the binary, compressed, so that the page works where nothing else can be
//! reached; the page asks for nothing but what is here. The files in `swagger/` are those of
//! swagger-ui-dist 5.35.0 (Apache License 2.0), without the pointer to their source map.

use std::io::Read as _;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

const BUNDLE: &[u8] = include_bytes!("swagger/swagger-ui-bundle.js.gz");
const STYLE: &[u8] = include_bytes!("swagger/swagger-ui.css.gz");

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>saimon: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"><noscript>This page needs scripts: the description itself is at <a href="/openapi.json">/openapi.json</a>.</noscript></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"#;

const START: &str = "SwaggerUIBundle({url: \"/openapi.json\", dom_id: \"#api\", deepLinking: true, validatorUrl: null});\n";

/// Nothing from elsewhere. The style sheet has pictures in it, and the page sets styles of its own.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

pub(super) fn routes() -> Router {
    let script = "text/javascript; charset=utf-8";
    Router::new()
        .route("/docs", get(|| async { text("text/html; charset=utf-8", PAGE) }))
        .route("/docs/start.js", get(move || async move { text(script, START) }))
        .route(
            "/docs/swagger-ui.css",
            get(|headers: HeaderMap| async move { packed("text/css; charset=utf-8", STYLE, &headers) }),
        )
        .route(
            "/docs/swagger-ui-bundle.js",
            get(move |headers: HeaderMap| async move { packed(script, BUNDLE, &headers) }),
        )
}

fn text(kind: &'static str, body: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, body).into_response()
}

/// A file that is packed: as it is for who takes gzip.
fn packed(kind: &'static str, body: &'static [u8], headers: &HeaderMap) -> Response {
    let common = [
        (CONTENT_TYPE, kind),
        // Another version of saimon may have others.
        (CACHE_CONTROL, "max-age=3600"),
        (VARY, "accept-encoding"),
    ];
    if takes_gzip(headers) {
        let encoding = (CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return (common, [encoding], body).into_response();
    }
    let mut whole = Vec::new();
    match flate2::read::GzDecoder::new(body).read_to_end(&mut whole) {
        Ok(_) => (common, whole).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// True if `Accept-Encoding` has gzip with a weight (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = lines
        .filter_map(|l| l.to_str().ok())
        .flat_map(|l| l.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|w| w > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole() {
        for (file, has) in [(BUNDLE, "SwaggerUIBundle"), (STYLE, ".swagger-ui")] {
            let mut text = String::new();
            flate2::read::GzDecoder::new(file)
                .read_to_string(&mut text)
                .unwrap();
            assert!(text.contains(has) && !text.contains("sourceMappingURL"));
        }
    }
}
