//! The metrics as Prometheus itself reads them, and the files for it in `deploy`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Process, Run, Serve, file, skipped, text};

/// How long Prometheus may take to start and to read the metrics.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is such a program; prints what is skipped if not.
fn has(program: &str, what: &str) -> bool {
    let has = Command::new(program).arg("--version").output().is_ok();
    if !has {
        skipped(&format!("{what}: there is no {program} here"));
    }
    has
}

/// The value that Prometheus has for an expression, as it prints it; `None` while it has none.
fn query(at: SocketAddr, expression: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let escaped = expression.bytes().map(|byte| format!("%{byte:02X}"));
    let path = format!("/api/v1/query?query={}", escaped.collect::<String>());
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let json: Value = serde_json::from_str(body).ok()?;
    let value = &json["data"]["result"][0]["value"][1];
    value.as_str().map(str::to_owned)
}

#[test]
fn prometheus_reads_the_metrics() {
    if !has("prometheus", "reading the metrics") {
        return;
    }
    let served = Serve::start(&["--metrics-listen", "127.0.0.1:0"]);
    let login = Run::of(served.tool().arg("-q"));
    assert_eq!(login.stdout, "Direct-Connect\n", "{}", login.stderr);

    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs:\n  - job_name: msnp9\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        served.at("metrics")
    );
    let config = file(&dir, "prometheus.yml", config);
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", text(&config)))
        .arg(format!(
            "--storage.tsdb.path={}",
            text(&dir.path().join("data"))
        ))
        .arg("--web.listen-address=127.0.0.1:0")
        .current_dir(dir.path());
    let prometheus = Process::start(command).unwrap();
    let is_address = |line: &str| line.contains("Listening on") && line.contains("address=");
    let (line, _) = prometheus.stderr_line(PATIENCE, 0, is_address).unwrap();
    let (_, at) = line.rsplit_once("address=").unwrap();
    let at: SocketAddr = at.trim_matches('"').parse().unwrap();

    let deadline = Instant::now() + PATIENCE;
    for (expression, want) in [
        ("up{job=\"msnp9\"}", "1"),
        ("msnp9_logins_total{outcome=\"signed_in\"}", "1"),
        ("msnp9_passport_logins_total{outcome=\"ticket\"}", "1"),
        ("msnp9_login_duration_seconds_count", "1"),
        ("msnp9_login_duration_seconds_bucket{le=\"30.0\"}", "1"),
        (
            "sum(msnp9_connections_total{service=\"notification\"})",
            "1",
        ),
        // As in the alert.
        (
            "process_open_fds / process_max_fds < bool 0.9 and on (job, instance) msnp9_build_info",
            "1",
        ),
    ] {
        let mut got = query(at, expression);
        while got.as_deref() != Some(want) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            got = query(at, expression);
        }
        assert_eq!(
            got.as_deref(),
            Some(want),
            "{expression}\n{}",
            prometheus.stderr()
        );
    }
}

#[test]
fn the_files_for_prometheus_are_valid() {
    if !has("promtool", "the files for Prometheus") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for words in [
        ["check", "rules", "deploy/prometheus-alerts.yml"],
        ["check", "config", "deploy/prometheus.yml"],
        ["test", "rules", "tests/scenarios/alerts.yml"],
    ] {
        let run = Run::of(Command::new("promtool").args(words).current_dir(root));
        assert_eq!(run.code, 0, "{words:?}: {}\n{}", run.stdout, run.stderr);
    }
}
