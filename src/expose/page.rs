//! `GET /`: the page for people. Anomalies now and over time, incidents, series with what was expected
//! of them, feedback, maintenance, and saimon itself.
//!
//! Its files in `page/` are part of the binary and are sent as they are written: nothing is built, and
//! nothing is asked for elsewhere. The page has no data of its own: all that it shows it has from the
//! API, as anybody might ([`super::api`]), with the rights of who looks at it. What always holds: a
//! browser runs no script and takes no style that is not one of these files ([`POLICY`]).

use std::fmt::Write as _;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

/// Nothing from elsewhere, nothing written into the page itself, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $name:literal,)*) => {
        [$(($path, $kind, include_str!(concat!("page/", $name)))),*]
    };
}

/// Where each file is.
const FILES: &[(&str, &str, &str)] = &files![
    "/" HTML "index.html",
    "/ui/page.css" CSS "page.css",
    "/ui/icon.svg" SVG "icon.svg",
    "/ui/app.js" SCRIPT "app.js",
    "/ui/api.js" SCRIPT "api.js",
    "/ui/dom.js" SCRIPT "dom.js",
    "/ui/words.js" SCRIPT "words.js",
    "/ui/explain.js" SCRIPT "explain.js",
    "/ui/chart.js" SCRIPT "chart.js",
    "/ui/timeline.js" SCRIPT "timeline.js",
    "/ui/anomalies.js" SCRIPT "anomalies.js",
    "/ui/anomaly.js" SCRIPT "anomaly.js",
    "/ui/incidents.js" SCRIPT "incidents.js",
    "/ui/series.js" SCRIPT "series.js",
    "/ui/maintenance.js" SCRIPT "maintenance.js",
    "/ui/status.js" SCRIPT "status.js",
];

pub(super) fn routes() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |router, &(path, kind, text)| {
            let tag = tag(text);
            let handle = move |headers: HeaderMap| {
                let answer = file(kind, text, &tag, &headers);
                async move { answer }
            };
            router.route(path, get(handle))
        })
}

fn tag(text: &str) -> String {
    let mut tag = String::new();
    let hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
    // Weak: it may go out compressed.
    write!(tag, "W/\"{hash:016x}\"").expect("BUG: a string can be written to");
    tag
}

fn file(kind: &'static str, text: &'static str, tag: &str, headers: &HeaderMap) -> Response {
    let common = [
        (ETAG, tag.to_owned()),
        // Another version of saimon may have another page.
        (CACHE_CONTROL, "no-cache".to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    let given = headers.get_all(IF_NONE_MATCH).iter();
    let mut given = given
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    if given.any(|t| t.trim() == tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(path: &str, tag: &str) -> Response {
        let request = Request::get(path).header(IF_NONE_MATCH, tag);
        let request = request.body(Body::empty()).unwrap();
        routes().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn files_are_sent_once() {
        for (path, kind, _) in FILES {
            let first = asked(path, "").await;
            assert_eq!(first.status(), StatusCode::OK);
            assert_eq!(first.headers()[CONTENT_TYPE], *kind);
            assert!(!first.headers()[CONTENT_SECURITY_POLICY].is_empty());
            let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
            let again = asked(path, &format!("\"other\", {tag}")).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
    }

    /// What a file names is there, and nothing is named that is elsewhere.
    #[test]
    fn everything_named_is_part_of_the_binary() {
        let has = |path: &str| FILES.iter().any(|(p, ..)| *p == path);
        for (path, kind, text) in FILES {
            for mark in ["src=\"", "from '", "rel=\"stylesheet\" href=\"", "url("] {
                for rest in text.split(mark).skip(1) {
                    let end = rest.find(['"', '\'', ')']).unwrap();
                    let named = rest[..end].replace("./", "/ui/");
                    assert!(has(&named), "{path} names {named}");
                }
            }
            // The name of a vocabulary, of which nothing is fetched.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let own = text.replace("http://localhost:9925", "");
            assert!(
                !own.contains("http://") && !own.contains("https://"),
                "{path}"
            );
            for dangerous in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(
                    *kind != SCRIPT || !own.contains(dangerous),
                    "{path}: {dangerous}"
                );
            }
        }
    }
}
