//! The values of options, as clap reads them.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::address::{Address, BadAddress, CALL_BACK_PORT, MSNP_PORT, STUN_PORT, UDP_ECHO_PORT};
use crate::capture::Place;
use crate::conntype::{Client, Label, PathKind, PortOrder, StunTransport, UdpLabel, can_be_local};
use crate::probe::stun;
use crate::report::Format;
use crate::transport::Bind;

/// One of a list of words, in any case. Help and errors list them.
#[derive(Clone)]
pub(super) struct OneOf<T>(Vec<(PossibleValue, T)>);

/// A parser for these words.
pub(super) fn one_of<T>(
    values: impl IntoIterator<Item = (impl Into<PossibleValue>, T)>,
) -> OneOf<T> {
    let values = values.into_iter();
    OneOf(values.map(|(word, value)| (word.into(), value)).collect())
}

/// A parser for labels.
pub(super) fn label() -> OneOf<Label> {
    one_of(Label::ALL.map(|label| (label.as_str(), label)))
}

/// A parser for a label of UDP, as given to `--expect`.
pub(super) fn udp_label() -> OneOf<UdpLabel> {
    one_of(UdpLabel::ALL.map(|label| (label.as_str(), label)))
}

/// A parser for the format of a result.
pub(super) fn format() -> OneOf<Format> {
    one_of(Format::ALL.map(|format| {
        let (word, help) = format.words();
        (PossibleValue::new(word).help(help), format)
    }))
}

/// A parser for the format of a page that is no result of a login.
pub(super) fn format_of_page() -> OneOf<Format> {
    one_of([("report", Format::Report), ("json", Format::Json)])
}

/// A parser for when to use colours.
pub(super) fn color() -> OneOf<ColorChoice> {
    one_of([
        ("auto", ColorChoice::Auto),
        ("always", ColorChoice::Always),
        ("never", ColorChoice::Never),
    ])
}

/// The value of `--color` before the command line is read; a wrong one is an error later.
pub(super) fn early_color(words: &[OsString]) -> ColorChoice {
    early("--color", &color(), words).unwrap_or(ColorChoice::Auto)
}

/// The format before the command line is read, in which an error of it is printed.
pub(super) fn early_format(words: &[OsString]) -> Format {
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let variable = || {
        let value = std::env::var("MSNP9_FORMAT").ok()?;
        // A server has no format, and --json counts more.
        let counts = !has("serve") && !has("--json");
        counts.then(|| format().find(&value)).flatten()
    };
    early("--format", &format(), words)
        .or_else(variable)
        .unwrap_or_default()
}

/// Whether errors of the command line are masked.
pub(super) fn early_redact(words: &[OsString]) -> bool {
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    // A server's errors are for its operator.
    let is_set = || {
        let value = std::env::var_os("MSNP9_REDACT").filter(|value| !value.is_empty());
        // One that cannot be read is an error that is printed.
        let read =
            |value: OsString| BoolishValueParser::new().parse_ref(&Command::new(""), None, &value);
        !has("serve") && value.is_some_and(|value| read(value).unwrap_or(true))
    };
    has("--redact") || is_set()
}

/// The last value of an option among the words.
fn early<T: Clone>(option: &str, values: &OneOf<T>, words: &[OsString]) -> Option<T> {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    let mut last = None;
    while let Some(word) = words.next() {
        let value = match word.strip_prefix(option) {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('=').map(|value| value.to_owned().into()),
            None => None,
        };
        last = value.and_then(|value| values.find(&value)).or(last);
    }
    last
}

/// A parser for the byte order of `ClientPort`.
pub(super) fn port_order() -> OneOf<PortOrder> {
    one_of([
        ("auto", PortOrder::Auto),
        ("plain", PortOrder::Plain),
        ("swapped", PortOrder::Swapped),
    ])
}

/// A parser for the side on which a capture was taken; `None` is for finding out.
pub(super) fn side() -> OneOf<Option<Place>> {
    one_of([
        ("auto", None),
        ("client", Some(Place::Client)),
        ("server", Some(Place::Server)),
    ])
}

/// A parser for a client of the time; `None` is for all of them.
pub(super) fn client() -> OneOf<Option<Client>> {
    one_of([
        (PossibleValue::new("official"), Some(Client::Official)),
        (PossibleValue::new("amsn"), Some(Client::Amsn)),
        (PossibleValue::new("miranda"), Some(Client::Miranda)),
        (
            PossibleValue::new("msnp-sharp").alias("msnpsharp"),
            Some(Client::MsnpSharp),
        ),
        (PossibleValue::new("papyon"), Some(Client::Papyon)),
        (PossibleValue::new("digsby"), Some(Client::Digsby)),
        (PossibleValue::new("jml"), Some(Client::Jml)),
        (PossibleValue::new("all"), None),
    ])
}

/// A parser for the kind of path.
pub(super) fn path() -> OneOf<PathKind> {
    one_of([
        ("tcp", PathKind::Tcp),
        ("socks4", PathKind::Socks4),
        ("socks5", PathKind::Socks5),
        ("http-connect", PathKind::HttpConnect),
        ("http-gateway", PathKind::HttpGateway),
    ])
}

impl<T: Clone> OneOf<T> {
    fn find(&self, word: &str) -> Option<T> {
        let mut values = self.0.iter();
        let found = values.find(|(name, _)| name.matches(word.trim(), true))?;
        Some(found.1.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for OneOf<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let word = value.to_string_lossy();
        if let Some(value) = self.find(&word) {
            return Ok(value);
        }
        // For clap's words of the error.
        let refused = |names: Vec<PossibleValue>, value: &OsStr| {
            let refused = PossibleValuesParser::new(names).parse_ref(command, arg, value);
            refused.map_or_else(|error| error, |_| clap::Error::new(ErrorKind::InvalidValue))
        };
        let names = || self.0.iter().map(|(name, _)| name);
        let lower = |name: &str| name.to_lowercase();
        // Case makes no difference, so it makes none for what is similar. clap wants names that live
        // as long as the program, which ends with this error.
        let lowered = names().map(|name| PossibleValue::new(&*lower(name.get_name()).leak()));
        let of_lowered = refused(lowered.collect(), lower(&word).as_ref());
        let mut error = refused(names().cloned().collect(), value);
        if let Some(ContextValue::String(similar)) = of_lowered.get(ContextKind::SuggestedValue)
            && let Some(name) = names().find(|name| lower(name.get_name()) == *similar)
        {
            let name = ContextValue::String(name.get_name().to_owned());
            error.insert(ContextKind::SuggestedValue, name);
        }
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|(name, _)| name.clone())))
    }
}

/// `HOST[:PORT]` of a notification or dispatch server.
pub(super) fn server(text: &str) -> Result<Address, BadAddress> {
    Address::parse(text, MSNP_PORT)
}

/// `HOST` or `HOST:PORT` of a server of UDP echo.
pub(super) fn udp_echo(text: &str) -> Result<Address, BadAddress> {
    Address::parse(text, UDP_ECHO_PORT)
}

/// `HOST` or `HOST:PORT` of a STUN server, after `tcp://` where it is asked over TCP.
pub(super) fn stun(text: &str) -> Result<stun::Server, BadAddress> {
    let (transport, address) = match text.strip_prefix("tcp://") {
        Some(address) => (StunTransport::Tcp, address),
        None => (StunTransport::Udp, text),
    };
    Ok(stun::Server {
        address: Address::parse(address, STUN_PORT)?,
        transport,
    })
}

/// `HOST` or `HOST:PORT` of a server that calls back.
pub(super) fn call_back(text: &str) -> Result<Address, BadAddress> {
    Address::parse(text, CALL_BACK_PORT)
}

/// A port to be called at: servers call none below 1024; 0 leaves it to the system.
pub(super) fn called_port(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(port @ (0 | 1024..)) => Ok(port),
        _ => Err("expected a port of 1024 or higher"),
    }
}

/// `IP:PORT`, with brackets around IPv6.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, &'static str> {
    let end = text
        .parse()
        .map_err(|_| "expected an address and a port, such as 192.168.1.5:51234")?;
    match can_be_local(end) {
        true => Ok(end),
        false => Err("no connected socket has this local address and port"),
    }
}

/// A time in seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or("expected a number of seconds from 0.1 to 3600")
}

/// A time between two checks, such as `90s`, `5m` or `1h 30m`; a number alone is seconds.
pub(super) fn interval(text: &str) -> Result<Duration, &'static str> {
    let seconds = || text.parse().ok().map(Duration::from_secs);
    humantime::parse_duration(text)
        .ok()
        .or_else(seconds)
        .filter(|every| (MIN_INTERVAL..=MAX_INTERVAL).contains(every))
        .ok_or("expected a duration from 1s to 7d, such as 30s, 5m or 1h")
}

/// Shorter intervals would be a burden to the server.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Eight times this is still far from any limit of a timer.
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `ADDR`, `ADDR:PORT`, `[v6]:PORT`, a bare v6 address, or `:PORT`.
pub(super) fn bind(text: &str) -> Result<Bind, &'static str> {
    const WRONG: &str = "expected an address of this host, with or without a port";
    let to = |ip, port| Bind {
        ip,
        port,
        share: false,
    };
    if let Some(port) = text.strip_prefix(':').filter(|rest| !rest.contains(':')) {
        return port.parse().map(|port| to(None, port)).map_err(|_| WRONG);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(to(Some(ip), 0));
    }
    let end: SocketAddr = text.parse().map_err(|_| WRONG)?;
    Ok(to(Some(end.ip()), end.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_local_address_is_read() {
        let end = |text| {
            bind(text)
                .map(|b| (b.ip.map(|ip| ip.to_string()), b.port))
                .ok()
        };
        let ip = |text: &str| Some(text.to_owned());
        assert_eq!(end("127.0.0.1"), Some((ip("127.0.0.1"), 0)));
        assert_eq!(end("127.0.0.1:5000"), Some((ip("127.0.0.1"), 5000)));
        assert_eq!(end("::1"), Some((ip("::1"), 0)));
        assert_eq!(end("[::1]"), Some((ip("::1"), 0)));
        assert_eq!(end("[::1]:5000"), Some((ip("::1"), 5000)));
        assert_eq!(end(":5000"), Some((None, 5000)));
        for bad in ["", "host", "host:1", "1.2.3.4:x", "1.2.3.4:70000", ":"] {
            assert_eq!(end(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_interval_is_a_duration_with_a_unit_or_seconds() {
        for (text, seconds) in [("1s", 1), ("5m", 300), ("1h 30m", 5400), ("90", 90)] {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "0",
            "0s",
            "5x",
            "-1s",
            "",
            "999ms",
            "8d",
            "1e9",
            "99999999999999999999s",
        ] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_and_json_use_the_same_words() {
        fn hold<T: serde::Serialize>(values: OneOf<T>) {
            for (word, value) in values.0 {
                assert_eq!(serde_json::to_value(value).unwrap(), word.get_name());
            }
        }
        hold(label());
        hold(path());
        hold(port_order());
        let clients = client().0.into_iter();
        hold(OneOf(clients.filter(|(_, one)| one.is_some()).collect()));
        assert_eq!(client().0.len(), Client::ALL.len() + 1);
    }

    #[test]
    fn a_word_of_a_list_is_taken_in_any_case_and_with_blanks_around_it() {
        let parse = |word: &str| label().parse_ref(&Command::new("x"), None, OsStr::new(word));
        for label in Label::ALL {
            let word = format!(" {}", label.as_str().to_lowercase());
            assert_eq!(parse(&word).unwrap(), label);
        }
        let error = parse("Restrict-NAT").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidValue);
        assert!(error.to_string().contains("Port-Restrict-NAT"), "{error}");
    }

    #[test]
    fn a_near_miss_gets_a_suggestion_whatever_its_case() {
        for (word, similar) in [
            ("symmetric_nat", "Symmetric-NAT"),
            ("symmetric", "Symmetric-NAT"),
            ("SYMETRIC", "Symmetric-NAT"),
            ("DIRECTCONNECT", "Direct-Connect"),
            ("ip-restricted-nat", "IP-Restrict-NAT"),
            ("PORT RESTRICT NAT", "Port-Restrict-NAT"),
            ("unknown nat", "Unknown-NAT"),
        ] {
            let error = label().parse_ref(&Command::new("x"), None, OsStr::new(word));
            let error = error.unwrap_err().to_string();
            let tip = format!("tip: a similar value exists: '{similar}'");
            assert!(error.contains(&tip), "{error}");
        }
    }
}
