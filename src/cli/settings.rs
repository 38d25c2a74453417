//! The options of a login, checked and made into a plan.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;

use super::args::CheckArgs;
use super::environment::Origins;
use super::error::CommandError;
use super::probes::Asked;
use super::runtime::Runtime;
use super::secret_input;
use crate::address::{Address, MSNP_PORT};
use crate::mask::{self, Mask};
use crate::networks::Network;
use crate::probe::login::{Passport, Plan};
use crate::secret::{ExposeSecret, SecretString};
use crate::transport::{Family, Proxies, ProxySettings, Route, Url, read_certificates};

/// The longest file of certificates, in bytes.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// The plan of the first login, and the further ones.
pub(super) struct Settings {
    /// The first login.
    pub(super) plan: Plan,
    /// A second server, and where its ticket comes from.
    pub(super) second: Option<(Address, Passport)>,
    /// The number of logins from different local ports, at least 1.
    pub(super) repeat: u8,
    /// What is asked beside the logins.
    pub(super) probes: Asked,
    /// Whether to tell what an official client would put into an invitation.
    pub(super) invitation: bool,
}

/// Makes the settings that the arguments ask for.
///
/// # Errors
/// One line that names the option or the variable that is wrong.
pub(super) fn settings(args: CheckArgs, runtime: &mut Runtime) -> Result<Settings, CommandError> {
    mask::with(|mask| tell(mask, &args));
    args.probes.check()?;
    if args.repeat > 1 && args.bind.is_some_and(|bind| bind.port != 0) {
        let [repeat, bind] = ["--repeat", "--bind"].map(|option| args.origins.name(option));
        return Err(CommandError::usage(format!(
            "{repeat} takes another local port each time; {bind} names one"
        )));
    }
    let second = match args.second_server.clone() {
        Some(server) => Some((server.clone(), passport(&args, &server)?)),
        None => None,
    };
    let (repeat, invitation) = (args.repeat, args.invitation);
    let probes = args.probes.clone();
    let mut plan = plan(args, runtime)?;
    if let Some(proxy) = plan.route.proxies.toward(&plan.server) {
        mask::with(|mask| {
            mask.address(&proxy.address);
            proxy
                .credentials
                .iter()
                .for_each(|(user, _)| drop(mask.account(user)));
        });
    }
    let probes = Asked::new(probes, &plan.route, Some(&plan.server))?;
    plan.route.bind.share = second.is_some();
    Ok(Settings {
        plan,
        second,
        repeat,
        probes,
        invitation,
    })
}

/// Tells the mask what the options name, so that it knows them in texts.
fn tell(mask: &mut Mask, args: &CheckArgs) {
    args.probes.tell(mask);
    let servers = [&args.server, &args.second_server];
    let servers = servers.into_iter().flatten();
    let pages = [&args.nexus_url, &args.login_url, &args.http_gateway];
    let pages = pages.into_iter().flatten().map(|url| &url.address);
    servers.chain(pages).for_each(|at| drop(mask.address(at)));
    args.user
        .iter()
        .for_each(|user| drop(mask.account(user.as_str())));
    for bind in args.bind.iter() {
        bind.ip.map(|ip| mask.ip(ip));
        mask.port(bind.port);
    }
}

fn plan(args: CheckArgs, runtime: &mut Runtime) -> Result<Plan, CommandError> {
    let network = args.network();
    let server = match (&args.server, network) {
        (Some(server), _) => server.clone(),
        (None, Some(network)) => {
            Address::parse(network.server, MSNP_PORT).context("the address of a preset")?
        }
        (None, None) => {
            return Err(CommandError::usage(
                "no server: give --server HOST[:PORT] or --network NAME (the 'demo' command needs \
                 neither)",
            ));
        }
    };
    let passport = passport(&args, &server)?;
    let url = passport.url();
    let account = (args.user.clone())
        .ok_or_else(|| CommandError::usage("no account: give --user ACCOUNT, or set MSNP9_USER"))?;
    if !url.https && !args.insecure_http {
        let option = match passport {
            Passport::Login(_) => "--login-url",
            Passport::Nexus(_) => "--nexus-url",
        };
        let why = format!(
            "{url} would carry the password without encryption; use https://, or add \
             --insecure-http to allow it"
        );
        return Err(CommandError::value(args.origins.name(option), why));
    }
    let presets = network
        .into_iter()
        .flat_map(|network| [network.nexus].into_iter().chain(network.login));
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
    Ok(Plan {
        route: Route {
            bind: args.bind.unwrap_or_default(),
            family,
            proxies: proxies(args.proxy.as_ref(), &args.origins)?,
            extra_roots: match &args.ca_file {
                Some(path) => certificates(path)
                    .map_err(|why| CommandError::value(args.origins.name("--ca-file"), why))?,
                None => Vec::new(),
            },
        },
        // Last, so that nobody types a password for a command line that is wrong.
        password: secret_input::password(&args, &account, runtime)?,
        server,
        account,
        passport,
        decodes_sign_in,
        credential_hosts,
        dialects: args.dialect,
        lockstep: args.lockstep,
        order: args.port_order,
        gateway: args.http_gateway.map(gateway),
        insecure_http: args.insecure_http,
        timeout: args.timeout,
    })
}

fn passport(args: &CheckArgs, server: &Address) -> Result<Passport, CommandError> {
    if let Some(login) = &args.login_url {
        return Ok(Passport::Login(login.clone()));
    }
    if let Some(nexus) = &args.nexus_url {
        return Ok(Passport::Nexus(nexus.clone()));
    }
    if let Some(Network { nexus, login, .. }) = args.network() {
        let read = |url: &str| url.parse().context("the URL of a preset");
        return Ok(match login {
            Some(login) => Passport::Login(read(login)?),
            None => Passport::Nexus(read(nexus)?),
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

fn proxies(proxy: Option<&SecretString>, origins: &Origins) -> Result<Proxies, CommandError> {
    match proxy.map(ExposeSecret::expose_secret) {
        None => Ok(Proxies::default()),
        Some("env") => Proxies::from_environment(|name| std::env::var(name).ok())
            .map_err(|why| CommandError::value("HTTPS_PROXY or ALL_PROXY", why)),
        Some(text) => ProxySettings::parse(text)
            .map(Proxies::always)
            .map_err(|why| CommandError::value(origins.name("--proxy"), why)),
    }
}

/// The path may be omitted: it is the same everywhere.
fn gateway(mut url: Url) -> Url {
    if url.path == "/" {
        url.path = "/gateway/gateway.dll".to_owned();
    }
    url
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CA_FILE).read_to_end(&mut bytes))
        .map_err(|why| format!("cannot read {shown}: {why}"))?;
    read_certificates(&bytes).map_err(|why| format!("{shown}: {why}"))
}
