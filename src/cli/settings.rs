//! Words to checked settings.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Runtime;

use super::args::CheckArgs;
use super::environment::Origins;
use super::{CommandError, secret_input};
use crate::address::{Address, MSNP_PORT};
use crate::msnp::Account;
use crate::networks::{self, Network};
use crate::probe::login::{Passport, Plan};
use crate::transport::{Bind, Family, Proxies, ProxySettings, Route, Url, read_certificates};

/// The longest file of certificates, in bytes.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// The plan, and what to look at besides.
pub(super) struct Settings {
    /// The first look.
    pub(super) plan: Plan,
    /// The server of the second look, and where its ticket comes from.
    pub(super) second: Option<(Address, Passport)>,
    /// How many looks from other local ports there are in all, at least 1.
    pub(super) repeat: u8,
}

/// Makes the settings that the arguments ask for.
///
/// # Errors
/// One line that says which word is wrong, and what would be right.
pub(super) fn settings(args: CheckArgs, runtime: &Runtime) -> Result<Settings, CommandError> {
    let second = match &args.second_server {
        Some(text) => {
            let server = Address::parse(text, MSNP_PORT)
                .with_context(|| args.origins.name("--second-server"))?;
            let network = args.network.as_deref().and_then(networks::find);
            let passport = passport(&args, network, &server)?;
            Some((server, passport))
        }
        None => None,
    };
    let repeat = args.repeat;
    let is_bound = |args: &CheckArgs| {
        let bind = args.bind.as_deref().map(bind).transpose();
        bind.is_ok_and(|bind| bind.is_some_and(|bind| bind.port != 0))
    };
    if repeat > 1 && is_bound(&args) {
        return Err(
            anyhow!("--repeat takes another local port each time; --bind names one").into(),
        );
    }
    let mut plan = plan(args, runtime)?;
    plan.route.bind.share = second.is_some();
    Ok(Settings {
        plan,
        second,
        repeat,
    })
}

fn plan(args: CheckArgs, runtime: &Runtime) -> Result<Plan, CommandError> {
    let network = match &args.network {
        Some(name) => Some(networks::find(name).ok_or_else(|| {
            let option = args.origins.name("--network");
            anyhow!("{option}: '{name}' is not known; '--network list' shows those that are")
        })?),
        None => None,
    };
    let server = match (&args.server, network) {
        (Some(text), _) => {
            Address::parse(text, MSNP_PORT).with_context(|| args.origins.name("--server"))?
        }
        (None, Some(network)) => Address::parse(network.server, MSNP_PORT).context("--network")?,
        (None, None) => {
            return Err(anyhow!(
                "no server: give --server HOST[:PORT] or --network NAME (the 'demo' command needs \
                 neither)"
            )
            .into());
        }
    };
    let account: Account = match &args.user {
        Some(text) => text.parse().with_context(|| args.origins.name("--user"))?,
        None => {
            return Err(anyhow!("no account: give --user ACCOUNT, or set MSNP9_USER").into());
        }
    };
    let (passport, insecure) = (passport(&args, network, &server)?, args.insecure_http);
    let url = passport.url();
    if !url.https && !insecure {
        return Err(anyhow!(
            "{url} would carry the password without encryption: use https://, or add \
             --insecure-http if that is what you want"
        )
        .into());
    }
    let presets = network.into_iter().flat_map(Network::urls);
    let credential_hosts = presets
        .filter_map(|url| Some(url.parse::<Url>().ok()?.address.host))
        .chain([server.host.clone(), url.address.host.clone()])
        .collect();
    let by_hand = args.login_url.is_some() || args.nexus_url.is_some();
    let decodes_sign_in = !by_hand && network.is_some_and(|network| network.decodes);
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (false, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let proxies = proxies(args.proxy.as_deref(), &args.origins)?;
    let timeout = Duration::from_secs_f64(args.timeout);
    Ok(Plan {
        route: Route {
            bind: args
                .bind
                .as_deref()
                .map(bind)
                .transpose()
                .with_context(|| args.origins.name("--bind"))?
                .unwrap_or_default(),
            family,
            proxies,
            extra_roots: match &args.ca_file {
                Some(path) => certificates(path, &args.origins.name("--ca-file"))?,
                None => Vec::new(),
            },
        },
        // Last, so that nobody types a password for a command line that is wrong.
        password: secret_input::password(
            args.password_file.as_deref(),
            &account,
            timeout,
            runtime,
        )?,
        server,
        account,
        passport,
        decodes_sign_in,
        credential_hosts,
        dialects: args.dialect,
        lockstep: args.lockstep,
        order: args.port_order,
        gateway: args.http_gateway.map(gateway),
        insecure_http: insecure,
        timeout,
    })
}

fn passport(args: &CheckArgs, network: Option<&Network>, server: &Address) -> Result<Passport> {
    if let Some(login) = &args.login_url {
        return Ok(Passport::Login(login.clone()));
    }
    if let Some(nexus) = &args.nexus_url {
        return Ok(Passport::Nexus(nexus.clone()));
    }
    if let Some(Network { nexus, login, .. }) = network {
        return Ok(match login {
            Some(login) => Passport::Login(login.parse()?),
            None => Passport::Nexus(nexus.parse()?),
        });
    }
    // Today's servers keep their Passport pages on the same host.
    Ok(Passport::Nexus(Url {
        https: true,
        address: Address {
            host: server.host.clone(),
            port: 443,
        },
        path: "/rdr/pprdr.asp".to_owned(),
    }))
}

fn proxies(text: Option<&str>, origins: &Origins) -> Result<Proxies> {
    match text {
        None => Ok(Proxies::default()),
        Some("env") => Proxies::from_environment(|name| std::env::var(name).ok())
            .context("the proxy that the environment names"),
        Some(text) => {
            let proxy = ProxySettings::parse(text).with_context(|| origins.name("--proxy"))?;
            Ok(Proxies::always(proxy))
        }
    }
}

/// The path may be left out: it has been the same since Microsoft's.
fn gateway(mut url: Url) -> Url {
    if url.path == "/" {
        url.path = "/gateway/gateway.dll".to_owned();
    }
    url
}

/// `ADDR`, `ADDR:PORT`, `[v6]:PORT`, a bare v6 address, or `:PORT`.
fn bind(text: &str) -> Result<Bind> {
    let wrong = || anyhow!("'{text}' is not an address of this host, with or without a port");
    if let Some(port) = text.strip_prefix(':').filter(|rest| !rest.contains(':')) {
        let port = port.parse().map_err(|_| wrong())?;
        return Ok(Bind {
            ip: None,
            port,
            share: false,
        });
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(Bind {
            ip: Some(ip),
            port: 0,
            share: false,
        });
    }
    let end: SocketAddr = text.parse().map_err(|_| wrong())?;
    Ok(Bind {
        ip: Some(end.ip()),
        port: end.port(),
        share: false,
    })
}

fn certificates(
    path: &Path,
    option: &str,
) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    let read = || -> std::io::Result<Vec<u8>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_CA_FILE)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let shown = path.display();
    let bytes = read().with_context(|| format!("{option}: read {shown}"))?;
    read_certificates(&bytes).with_context(|| format!("{option}: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_end_is_read_in_every_spelling() {
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
}
