//! The metrics over real sockets: what they count, who may read them, and for how long.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use msnp9_conntype::server::{AccountList, Accounts, Config, Limits};
use support::client::{Client, field};
use support::{Process, Run, Serve, tool};
use tokio::net::TcpStream;
use tokio::time::{advance, pause, resume};

use crate::embedded::{Running, USER, eventually, start};

/// How many connections may read the metrics at one time.
const READERS: usize = 8;

/// How long `serve` may take to say that it cannot start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with metrics.
fn watched(config: Config) -> Running {
    start(Config {
        metrics_listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..config
    })
}

/// The head and the body of the answer on a connection that stays open.
async fn ask(client: &mut Client<TcpStream>, method: &str, path: &str) -> (String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: metrics.example\r\n\r\n");
    client.write(&request).await;
    let head = client.head().await;
    let length = field(&head, "Content-Length").unwrap().parse().unwrap();
    let body = match method {
        "HEAD" => String::new(),
        _ => client.bytes(length).await,
    };
    (head, body)
}

async fn get(at: SocketAddr, path: &str) -> (String, String) {
    ask(&mut Client::connect(at).await, "GET", path).await
}

/// The samples of a server's metrics by their name with labels.
async fn scrape(at: SocketAddr) -> BTreeMap<String, f64> {
    let (head, body) = get(at, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(
        field(&head, "Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    parse(&body)
}

/// Reads OpenMetrics as strictly as its specification permits, as far as the server uses it: every
/// metric has its help and type, stands in one place, and each sample fits its type.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let text = text.strip_suffix("# EOF\n").expect("an end");
    let mut samples = BTreeMap::new();
    let mut families = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").expect(line);
        let (name, help) = help.split_once(' ').expect(line);
        assert!(help.ends_with('.') && help.len() > 10, "{line}");
        assert!(!families.contains(&name), "{name} stands twice");
        families.push(name);
        let kind = lines
            .next()
            .and_then(|line| line.strip_prefix(&*format!("# TYPE {name} ")));
        let kind = kind.unwrap_or_else(|| panic!("{name} has no type"));
        if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
            let unit = unit.strip_prefix(&*format!("# UNIT {name} ")).expect(unit);
            assert!(name.ends_with(&format!("_{unit}")), "{name} {unit}");
        }
        let mut count = 0;
        let mut last_bucket = 0.0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let value: f64 = value.parse().expect(line);
            let (sample, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect(line);
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once('=').expect(line);
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
                assert!(key.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                assert!(value.is_some_and(|v| v.chars().all(is_plain)), "{line}");
            }
            match (kind, sample.strip_prefix(name).expect(line)) {
                ("counter", "_total") | ("histogram", "_sum" | "_count") | ("gauge", "") => {}
                ("info", "_info") => assert_eq!(value, 1.0),
                ("histogram", "_bucket") => {
                    assert!(value >= last_bucket, "{line} after {last_bucket}");
                    last_bucket = value;
                }
                other => panic!("{other:?}: {line}"),
            }
            assert!(value >= 0.0, "{line}");
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{line} stands twice"
            );
            count += 1;
        }
        assert!(count > 0, "{name} has no sample");
        if kind == "histogram" {
            assert_eq!(samples[&format!("{name}_count")], last_bucket);
            assert_eq!(
                samples[&format!("{name}_bucket{{le=\"+Inf\"}}")],
                last_bucket
            );
        }
    }
    samples
}

#[track_caller]
fn assert_samples(samples: &BTreeMap<String, f64>, want: &[(&str, f64)]) {
    for (series, value) in want {
        assert_eq!(samples.get(*series), Some(value), "{series}: {samples:#?}");
    }
}

#[tokio::test]
async fn logins_and_refusals_are_counted() {
    let server = watched(Config {
        accounts: Accounts::List(AccountList::parse("user@example.com:x").unwrap()),
        limits: Limits {
            max_failures: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    let at = server.at.metrics[0];
    let before = scrape(at).await;
    let zero = [
        ("msnp9_logins_total{outcome=\"signed_in\"}", 0.0),
        ("msnp9_connections_total{service=\"notification\"}", 0.0),
        ("msnp9_sessions{service=\"notification\"}", 0.0),
    ];
    assert_samples(&before, &zero);

    let client = server.signed_in(USER).await;
    let mut stranger = server.connect().await;
    stranger.introduce("MSNP9", USER).await;
    stranger.say("USR 4 TWN S t=0&p=0").await;
    assert_eq!(stranger.line().await, "911 4");
    stranger.expect_close().await;
    drop(stranger);
    for status in ["401", "503"] {
        let answer = server.ticket(USER, "wrong").await.unwrap_err();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let mut dispatch = Client::connect(server.at.dispatch[0]).await;
    dispatch.say("VER 1 MSNP9").await;
    dispatch.line().await;
    let ended = "msnp9_session_duration_seconds_count";
    let after = eventually("the end of a session", async {
        loop {
            let samples = scrape(at).await;
            if samples[ended] > 0.0 {
                return samples;
            }
        }
    })
    .await;
    let want = [
        ("msnp9_logins_total{outcome=\"signed_in\"}", 1.0),
        ("msnp9_logins_total{outcome=\"refused\"}", 1.0),
        ("msnp9_logins_total{outcome=\"throttled\"}", 0.0),
        ("msnp9_passport_logins_total{outcome=\"ticket\"}", 1.0),
        ("msnp9_passport_logins_total{outcome=\"refused\"}", 1.0),
        ("msnp9_passport_logins_total{outcome=\"throttled\"}", 1.0),
        ("msnp9_connections_total{service=\"notification\"}", 2.0),
        ("msnp9_connections_total{service=\"dispatch\"}", 1.0),
        ("msnp9_connections_total{service=\"passport\"}", 3.0),
        ("msnp9_connections_total{service=\"gateway\"}", 0.0),
        ("msnp9_http_requests_total", 3.0),
        ("msnp9_tls_handshake_duration_seconds_count", 3.0),
        ("msnp9_login_duration_seconds_count", 1.0),
        ("msnp9_sessions{service=\"notification\"}", 1.0),
        ("msnp9_sessions{service=\"dispatch\"}", 1.0),
        ("msnp9_signed_in", 1.0),
        (ended, 1.0),
    ];
    assert_samples(&after, &want);
    assert!(after["msnp9_login_duration_seconds_sum"] > 0.0);
    assert!(after["msnp9_login_duration_seconds_bucket{le=\"30.0\"}"] > 0.0);
    if cfg!(target_os = "linux") {
        assert!(after["process_open_fds"] < after["process_max_fds"]);
        assert!(after["process_resident_memory_bytes"] > 1e6);
    }
    drop(client);
    eventually("nobody signed in", async {
        while scrape(at).await["msnp9_signed_in"] > 0.0 {}
    })
    .await;
    // The log adds up what the metrics tell apart, and nobody who reads them is a client.
    let counts = server.stop().await;
    assert_eq!((counts.failed_logins, counts.refused_logins), (2, 1));
    assert_eq!(counts.accepted, 6);
}

#[tokio::test]
async fn sessions_of_the_gateway_are_counted_until_they_end() {
    let server = watched(Config::default());
    let at = server.at.metrics[0];
    let mut client = Client::connect(server.at.gateway[0]).await;
    let open = "/gateway/gateway.dll?Action=open&Server=NS";
    let request =
        format!("POST {open} HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\nVER 1 MSNP9\r\n");
    client.write(&request).await;
    let head = client.head().await;
    let session = field(&head, "X-MSN-Messenger").unwrap();
    let id = session.split(['=', ';']).nth(1).unwrap().to_owned();
    let samples = scrape(at).await;
    let want = [
        ("msnp9_sessions{service=\"gateway\"}", 1.0),
        ("msnp9_gateway_sessions_total", 1.0),
        ("msnp9_connections_total{service=\"gateway\"}", 1.0),
    ];
    assert_samples(&samples, &want);
    client.bytes(18).await;
    let request = format!(
        "POST /gateway/gateway.dll?SessionID={id} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nOUT\r\n"
    );
    client.write(&request).await;
    assert!(client.head().await.contains("Session=close"));
    let samples = scrape(at).await;
    let want = [
        ("msnp9_sessions{service=\"gateway\"}", 0.0),
        ("msnp9_session_duration_seconds_count", 1.0),
    ];
    assert_samples(&samples, &want);
    server.stop().await;
}

#[tokio::test]
async fn a_full_server_can_be_watched_and_is_not_ready() {
    let server = watched(Config {
        limits: Limits {
            max_connections: 1,
            max_per_address: 1,
            ..Limits::default()
        },
        ..Config::default()
    });
    let at = server.at.metrics[0];
    let (head, body) = get(at, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "ready\n");
    let mut first = server.connect().await;
    first.say("VER 1 MSNP9").await;
    first.line().await;
    assert_eq!(server.connect().await.line().await, "910 0");
    let want = [
        ("msnp9_refused_connections_total{reason=\"total\"}", 1.0),
        (
            "msnp9_refused_connections_total{reason=\"per_address\"}",
            0.0,
        ),
        ("msnp9_sessions{service=\"notification\"}", 1.0),
    ];
    assert_samples(&scrape(at).await, &want);
    let (head, body) = get(at, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "the server is full\n");
    assert_eq!(get(at, "/healthz").await.1, "ok\n");
    drop(first);
    eventually("a server that is ready", async {
        while get(at, "/readyz").await.1 != "ready\n" {}
    })
    .await;
    server.stop().await;
}

/// Writes lines that nobody reads the answers to, until the server reads no more.
async fn block(server: &Running, client: &Client<TcpStream>, lines: &str) {
    let mut blocked = 0;
    eventually("a server that reads no more", async {
        while blocked < 5 {
            if client.stream.try_write(lines.as_bytes()).is_ok() {
                blocked = 0;
            } else {
                blocked += 1;
                server.settle().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so() {
    let server = watched(Config::default());
    let at = server.at.metrics[0];
    let mut earlier = Client::connect(at).await;
    assert_eq!(ask(&mut earlier, "GET", "/readyz").await.1, "ready\n");
    // The server waits for this client until its time is up.
    let client = server.signed_in(USER).await;
    block(&server, &client, &"SYN 5 0\r\n".repeat(1000)).await;
    let stopping = tokio::spawn(server.stop());
    eventually("a server that is not ready", async {
        loop {
            let (head, body) = ask(&mut earlier, "GET", "/readyz").await;
            if body != "ready\n" {
                assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
                assert_eq!(body, "the server is shutting down\n");
                return;
            }
        }
    })
    .await;
    assert!(!stopping.is_finished());
    assert_eq!(get(at, "/readyz").await.1, "the server is shutting down\n");
    assert_eq!(get(at, "/healthz").await.1, "ok\n");
    assert_samples(&scrape(at).await, &[("msnp9_signed_in", 1.0)]);
    stopping.await.unwrap();
    earlier.expect_close().await;
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_disconnected() {
    let server = watched(Config::default());
    let at = server.at.metrics[0];
    let reader = Client::connect(at).await;
    let request = "GET /metrics HTTP/1.1\r\nHost: metrics.example\r\n\r\n";
    block(&server, &reader, &request.repeat(200)).await;
    pause();
    advance(Duration::from_secs(11)).await;
    resume();
    eventually("a timeout", async {
        while scrape(at).await["msnp9_timeouts_total"] == 0.0 {}
    })
    .await;
    drop(reader);
    assert_eq!(server.stop().await.timeouts, 1);
}

#[tokio::test]
async fn few_may_read_at_one_time() {
    let server = watched(Config::default());
    let at = server.at.metrics[0];
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = Client::connect(at).await;
        ask(&mut reader, "GET", "/healthz").await;
        readers.push(reader);
    }
    let mut beyond = Client::connect(at).await;
    let (head, _) = ask(&mut beyond, "GET", "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // Clients of the server are not affected, and it still is ready.
    let _client = server.signed_in(USER).await;
    assert_eq!(ask(&mut readers[0], "GET", "/readyz").await.1, "ready\n");
    readers.pop();
    eventually("room for a reader", async {
        while !get(at, "/metrics").await.0.contains("200 OK") {}
    })
    .await;
    let counts = server.stop().await;
    assert_eq!((counts.refused_total, counts.refused_per_address), (0, 0));
}

#[tokio::test]
async fn other_requests_are_refused() {
    let server = watched(Config::default());
    let mut client = Client::connect(server.at.metrics[0]).await;
    let (head, _) = ask(&mut client, "HEAD", "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for (method, path, status) in [
        ("GET", "/", "404 Not Found"),
        ("GET", "/gateway/gateway.dll", "404 Not Found"),
        ("POST", "/metrics", "405 Method Not Allowed"),
        ("DELETE", "/readyz", "405 Method Not Allowed"),
    ] {
        let (head, body) = ask(&mut client, method, path).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        assert_eq!(body, "");
    }
    // The metrics are at no other service.
    assert!(
        get(server.at.gateway[0], "/metrics")
            .await
            .0
            .contains("404")
    );
    server.stop().await;
}

#[test]
fn any_address_needs_an_option() {
    let serve = |at: &str| {
        let mut command = tool();
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--passport-listen",
            "none",
        ]);
        command.env("MSNP9_SERVE_METRICS_LISTEN", at);
        command
    };
    for at in ["0.0.0.0:0", "[::]:0", "203.0.113.1:9186"] {
        // With a limit: a server that accepts the address would run forever.
        let process = Process::start(serve(at)).unwrap();
        let run = Run::from(process.finish(PATIENCE).unwrap());
        assert_eq!(run.code, 2, "{}", run.stderr);
        for part in ["MSNP9_SERVE_METRICS_LISTEN", at, "--metrics-public"] {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
    }
    let mut public = tool();
    public.env("MSNP9_SERVE_METRICS_PUBLIC", "1");
    let served = Serve::start_by(public, &["--metrics-listen", "0.0.0.0:0"]).unwrap();
    served.log_line(&["INFO", "listening", "service=\"metrics\""]);
    assert!(served.at("metrics").ip().is_unspecified());
}
