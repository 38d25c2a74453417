use super::*;
use crate::msnp::passport::NexusForm;
use crate::server::{GatewayPort, PortField};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    serve: ServeArgs,
}

fn parse(words: &str) -> Result<Result<Config, ServeError>, clap::Error> {
    let words = std::iter::once("serve").chain(words.split_whitespace());
    // Without the variables of the environment.
    let mut command = Options::command().mut_args(|arg| arg.env(None::<&'static str>));
    let mut matches = command.try_get_matches_from_mut(words)?;
    let args = Options::from_arg_matches_mut(&mut matches)?.serve;
    let files = Files::of(&args);
    Ok(config(args, &files))
}

fn usage(words: &str) -> String {
    let error = parse(words).unwrap().unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn the_defaults_are_loopback_and_the_forms_of_microsoft() {
    let config = parse("").unwrap().unwrap();
    assert_eq!(config.listen, ["127.0.0.1:1863".parse().unwrap()]);
    assert_eq!(config.passport_listen, ["127.0.0.1:8443".parse().unwrap()]);
    assert!(config.dispatch_listen.is_empty() && config.gateway_listen.is_empty());
    assert_eq!(config.client_port, PortField::Swapped);
    assert_eq!(config.gateway_port, GatewayPort::Zero);
    assert_eq!(config.nexus_form, NexusForm::Classic);
    assert!(matches!(config.accounts, Accounts::Open));
}

#[test]
fn addresses_may_be_repeated() {
    let config = parse("--listen 127.0.0.1:0,[::1]:0 --listen 127.0.0.2:0 --passport-listen none")
        .unwrap()
        .unwrap();
    assert_eq!(config.listen.len(), 3);
    assert!(config.passport_listen.is_empty());
}

#[test]
fn other_hosts_are_admitted_only_on_request() {
    for listen in ["--listen 0.0.0.0:0", "--gateway-listen [::]:0"] {
        let text = usage(listen);
        assert!(
            text.contains("--accounts") && text.contains("--open"),
            "{text}"
        );
        assert!(parse(&format!("{listen} --open")).unwrap().is_ok());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    std::fs::write(&path, "a@b.c:x\n").unwrap();
    let words = format!("--listen 0.0.0.0:0 --accounts {}", path.display());
    let config = parse(&words).unwrap().unwrap();
    assert!(matches!(config.accounts, Accounts::List(_)));
}

#[test]
fn an_invalid_file_is_named_with_its_option_but_not_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let text = usage(&format!("--accounts {}", path.display()));
    assert!(
        text.starts_with("--accounts ") && text.contains("file: "),
        "{text}"
    );
    std::fs::write(&path, "marker").unwrap();
    for option in ["--accounts", "--ticket-key"] {
        let text = usage(&format!("{option} {}", path.display()));
        assert!(
            !text.contains("marker") && text.starts_with(option) && text.contains("file: "),
            "{text}"
        );
    }
}

#[test]
fn contradictory_options_are_refused() {
    let nothing = "--listen none --passport-listen none";
    assert!(usage(nothing).contains("nothing to serve"));
    // Without accounts, which it has no use for, it may be open to every host.
    let alone = parse(&format!("{nothing} --call-back 0.0.0.0:0,[::]:0"));
    assert_eq!(alone.unwrap().unwrap().call_back.len(), 2);
    for words in [
        "--tls-cert x",
        "--tls-key x",
        "--tls-cert x --tls-key y --write-ca z",
        "--accounts x --open",
        "--listen localhost:1",
        "--max-connections 0",
        "--idle-timeout 0",
        "--advertise :1",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}

#[test]
fn metrics_are_public_only_on_request() {
    for at in [
        "127.0.0.1:0",
        "127.9.9.9:0",
        "10.1.2.3:0",
        "172.16.0.1:0",
        "192.168.0.1:0",
        "169.254.1.1:0",
        "[::1]:0",
        "[fd00::1]:0",
        "[fe80::1]:0",
        "[::ffff:10.1.2.3]:0",
    ] {
        let config = parse(&format!("--metrics-listen {at}")).unwrap().unwrap();
        assert_eq!(config.metrics_listen, [at.parse().unwrap()]);
    }
    for at in [
        "0.0.0.0:0",
        "[::]:0",
        "203.0.113.1:0",
        "100.64.0.1:0",
        "172.32.0.1:0",
        "[2001:db8::1]:0",
        "[::ffff:203.0.113.1]:0",
        "[::ffff:0.0.0.0]:0",
    ] {
        let words = format!("--metrics-listen 127.0.0.1:0,{at}");
        let text = usage(&words);
        assert!(
            text.starts_with(&format!("--metrics-listen {at} "))
                && text.contains("--metrics-public"),
            "{text}"
        );
        let config = parse(&format!("{words} --metrics-public"));
        assert_eq!(config.unwrap().unwrap().metrics_listen.len(), 2);
    }
    let none = parse("--metrics-listen none").unwrap().unwrap();
    assert!(none.metrics_listen.is_empty());
    // The metrics of a server that serves nobody are of no use.
    let alone = usage("--listen none --passport-listen none --metrics-listen 127.0.0.1:0");
    assert!(alone.contains("nothing to serve"), "{alone}");
}

#[cfg(target_os = "linux")]
#[test]
fn connections_are_limited_to_the_open_files() {
    let mut limits = Limits {
        max_connections: usize::MAX,
        ..Limits::default()
    };
    fit_open_files(&mut limits, SPARE_FILES).unwrap();
    let files = (limits.max_connections + SPARE_FILES) as u64;
    assert_eq!(Some(files), max_open_files());
}
