//! The pages for whoever watches the server: its metrics, and whether it runs and takes clients.

use tracing::debug;

use super::message::{Method, Request, Response};
use crate::server::metrics;
use crate::server::state::RequestContext;

/// Answers a request.
pub(super) fn answer(request: &Request, context: &RequestContext<'_>) -> Response {
    let page: fn(&RequestContext<'_>) -> Response = match &*request.path {
        "/metrics" => text,
        // The event loop that answers this is the one that serves the clients.
        "/healthz" => |_| line("200 OK", "ok"),
        "/readyz" => ready,
        _ => return Response::new("404 Not Found"),
    };
    let response = match request.method {
        Method::Get | Method::Head => page(context),
        Method::Post | Method::Other => {
            Response::new("405 Method Not Allowed").with_header("Allow", "GET, HEAD")
        }
    };
    debug!(peer = %context.peer, path = request.path, status = response.status, "metrics");
    response
}

fn text(context: &RequestContext<'_>) -> Response {
    match metrics::text(context.state) {
        Ok(text) => Response {
            body: text.into_bytes(),
            ..Response::new("200 OK").with_header("Content-Type", metrics::CONTENT_TYPE)
        },
        Err(_) => Response::new("500 Internal Server Error"),
    }
}

fn ready(context: &RequestContext<'_>) -> Response {
    match context.state.readiness() {
        Ok(()) => line("200 OK", "ready"),
        Err(reason) => line("503 Service Unavailable", &reason.to_string()),
    }
}

/// A response with one line of text, which no cache may keep.
fn line(status: &'static str, text: &str) -> Response {
    Response {
        body: format!("{text}\n").into_bytes(),
        ..Response::new(status)
            .with_header("Content-Type", "text/plain; charset=utf-8")
            .with_header("Cache-Control", "no-store")
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::test_request;
    use super::*;
    use crate::server::config::Config;
    use crate::server::state::tests::{context, state};

    #[test]
    fn each_page_has_its_status_and_text() {
        let state = state(Config::default());
        let ask = |method, path| {
            let response = answer(&test_request(method, path), &context(&state));
            let text = String::from_utf8(response.body).unwrap();
            (response.status, response.headers.to_string(), text)
        };
        for (method, path, status, body) in [
            (Method::Get, "/healthz", "200 OK", "ok\n"),
            (Method::Head, "/readyz", "200 OK", "ready\n"),
            (Method::Get, "/", "404 Not Found", ""),
            (Method::Post, "/metrics/", "404 Not Found", ""),
            (Method::Post, "/metrics", "405 Method Not Allowed", ""),
            (Method::Other, "/healthz", "405 Method Not Allowed", ""),
        ] {
            let (got, headers, text) = ask(method, path);
            assert_eq!((got, &*text), (status, body), "{path}");
            assert_eq!(
                headers.contains("Allow: GET, HEAD\r\n"),
                got.starts_with("405")
            );
        }
        let (status, headers, text) = ask(Method::Get, "/metrics");
        assert_eq!(status, "200 OK");
        assert_eq!(
            headers,
            "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
        state.drain();
        let (status, _, text) = ask(Method::Get, "/readyz");
        assert_eq!(status, "503 Service Unavailable");
        assert_eq!(text, "the server is shutting down\n");
        assert_eq!(ask(Method::Get, "/healthz").0, "200 OK");
    }
}
