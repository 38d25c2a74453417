//! Passport 1.4 ("Tweener") over HTTPS: the nexus, the login page, the ticket.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::header::{HeaderName as Name, WWW_AUTHENTICATE};

use super::dial::{Dialer, Errand};
use super::http::{Connection, Request, Response};
use super::{Passport, Url, tls};
use crate::failure::{Failure, Stage};
use crate::msnp::passport::{self, AuthenticationInfo, SignIn};
use crate::secret::{self, ExposeSecret, SecretString};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// How much of a server's own words is shown, in characters.
const MAX_TEXT: usize = 200;

/// Shorter parts of a ticket (`t=…&p=…`) are its keys.
const TICKET_PART: usize = 8;

const PASSPORT_URLS: Name = HeaderName::from_static("passporturls");
const AUTHENTICATION_INFO: Name = HeaderName::from_static("authentication-info");

/// Gets a ticket, and whatever can be had of it beforehand.
pub(super) struct Tweener<'a> {
    dialer: Dialer<'a>,
    connector: Option<tls::Connector>,
    /// The connection that was used last, or was opened ahead.
    kept: Option<Connection>,
    /// The login page, once it is known.
    login: Option<Url>,
    /// The nexus' header, where a nexus was asked.
    passport_urls: Option<SecretString>,
}

impl<'a> Tweener<'a> {
    pub(super) const fn new(dialer: Dialer<'a>) -> Self {
        Self {
            dialer,
            connector: None,
            kept: None,
            login: None,
            passport_urls: None,
        }
    }

    /// Does all that needs no policy yet: asks the nexus, connects to the login server.
    pub(super) async fn prepare(&mut self) -> Result<(), Failure> {
        let login = match &self.dialer.plan.passport {
            Passport::Login(url) => url.clone(),
            Passport::Nexus(nexus) => self.ask_nexus(nexus.clone()).await?,
        };
        self.allow(&login, Stage::Login)?;
        let _open = self
            .dialer
            .trail
            .enter(Stage::Login, format!("the login server {}", login.address));
        self.reach(&login, Errand::Login).await?;
        self.login = Some(login);
        Ok(())
    }

    /// The ticket for a policy.
    pub(super) async fn ticket(&mut self, policy: &str) -> Result<SecretString, Failure> {
        let Some(login) = self.login.clone() else {
            self.prepare().await?;
            return Box::pin(self.ticket(policy)).await;
        };
        let _open = self
            .dialer
            .trail
            .enter(Stage::Login, format!("the ticket from {}", login.address));
        let (failure, is_final) = match self.sign_in(&login, policy, SignIn::Encoded).await? {
            Answer::Ticket(ticket) => return Ok(ticket),
            Answer::Refused { failure, is_final } => (failure, is_final),
        };
        // Some servers decode nothing: they know the account only as it is typed. Where that may
        // be so, it is worth one more try; where the server has understood what it refuses, a
        // second wrong try would only bring the account nearer to being locked.
        let urls = self.passport_urls.as_ref().map(|urls| urls.expose_secret());
        if is_final || self.dialer.plan.decodes_sign_in || passport::decodes(policy, urls) {
            return Err(failure);
        }
        match self.sign_in(&login, policy, SignIn::AsTyped).await? {
            Answer::Ticket(ticket) => Ok(ticket),
            Answer::Refused { failure, .. } => Err(failure),
        }
    }

    async fn ask_nexus(&mut self, mut nexus: Url) -> Result<Url, Failure> {
        let _open = self
            .dialer
            .trail
            .enter(Stage::Nexus, format!("the nexus {}", nexus.address));
        for _ in 0..=MAX_REDIRECTS {
            self.allow(&nexus, Stage::Nexus)?;
            let response = self.get(&nexus, None, Errand::Nexus).await?;
            // Whatever the status: the header is all that counts.
            if let Some(urls) = text_of(&response.headers, &PASSPORT_URLS) {
                return login_page(self.passport_urls.insert(urls), &nexus);
            }
            match redirect(&nexus, &response, Stage::Nexus)? {
                Some(next) => nexus = next,
                None => {
                    return Err(Failure::no_profile(
                        Stage::Nexus,
                        "nexus-without-header",
                        format!(
                            "{nexus} answers HTTP {} without PassportURLs",
                            response.status
                        ),
                        "check --nexus-url, or name the login page with --login-url",
                    ));
                }
            }
        }
        Err(too_many_redirects(&nexus, Stage::Nexus))
    }

    /// One login, redirects and all. The header goes along to each address the server names:
    /// that is how Passport redirects work ([MS-PASS] 3.1.5.4).
    async fn sign_in(
        &mut self,
        login: &Url,
        policy: &str,
        sign_in: SignIn,
    ) -> Result<Answer, Failure> {
        let plan = self.dialer.plan;
        let mut login = login.clone();
        let header =
            passport::authorization(plan.account.as_str(), &plan.password, policy, sign_in);
        let mut header = HeaderValue::from_str(header.expose_secret()).map_err(|_| {
            Failure::no_profile(
                Stage::Login,
                "bad-policy",
                "the server's policy cannot be put into a header",
                "ask another server",
            )
        })?;
        header.set_sensitive(true);
        for text in [
            plan.password.expose_secret(),
            &sign_in.write(plan.password.expose_secret()),
        ] {
            secret::remember(text);
        }
        for _ in 0..=MAX_REDIRECTS {
            self.allow(&login, Stage::Login)?;
            let extra = Some((AUTHORIZATION, header.clone()));
            self.dialer.trail.credentials_to(&login.address, plan);
            let response = self.get(&login, extra, Errand::Login).await?;
            let info = text_of(&response.headers, &AUTHENTICATION_INFO)
                .map(|value| passport::authentication_info(value.expose_secret()));
            if let Some(AuthenticationInfo::Ticket(ticket)) = info {
                secret::remember(ticket.expose_secret());
                // Its parts are as good as the whole.
                for part in ticket.expose_secret().split(['&', '=']) {
                    if part.len() >= TICKET_PART {
                        secret::remember(part);
                    }
                }
                return Ok(Answer::Ticket(ticket));
            }
            match redirect(&login, &response, Stage::Login)? {
                Some(next) => login = next,
                None => return judge(&login, &response, info),
            }
        }
        Err(too_many_redirects(&login, Stage::Login))
    }

    /// One GET, over the kept connection where it leads there.
    async fn get(
        &mut self,
        url: &Url,
        extra: Option<(HeaderName, HeaderValue)>,
        errand: Errand,
    ) -> Result<Response, Failure> {
        let stage = errand.stage(Stage::Connect);
        let reused = self.kept.as_ref().is_some_and(|kept| kept.leads_to(url));
        let ask = Request {
            headers: extra.into_iter().collect(),
            ..Request::default()
        };
        let first = self
            .reach(url, errand)
            .await?
            .ask(url, ask.clone(), stage)
            .await;
        match first {
            Ok(response) => Ok(response),
            // The server closed the idle connection just as we asked.
            Err(unanswered) if reused && unanswered.stale => {
                self.kept = None;
                let again = self.reach(url, errand).await?.ask(url, ask, stage).await;
                again.map_err(|unanswered| unanswered.failure)
            }
            Err(unanswered) => Err(unanswered.failure),
        }
    }

    /// A connection to the server of `url`: the kept one, or a new one.
    async fn reach(&mut self, url: &Url, errand: Errand) -> Result<&mut Connection, Failure> {
        let kept = match self.kept.take() {
            Some(kept) if kept.leads_to(url) => kept,
            _ => {
                let connector = match &self.connector {
                    Some(connector) => connector,
                    None => self
                        .connector
                        .insert(tls::connector(&self.dialer.plan.extra_roots)?),
                };
                Connection::open(&self.dialer, connector, url, errand).await?
            }
        };
        Ok(self.kept.insert(kept))
    }

    /// Whether the password may go there.
    fn allow(&self, url: &Url, stage: Stage) -> Result<(), Failure> {
        if url.https || self.dialer.plan.insecure_http {
            return Ok(());
        }
        Err(Failure::unreachable(
            stage,
            "plain-http",
            // Not the whole of it: a redirect may repeat what it was asked with.
            format!(
                "http://{} would carry the password without encryption",
                url.address
            ),
            "use an https:// address; --insecure-http allows it all the same",
        ))
    }
}

/// What a login page says.
enum Answer {
    Ticket(SecretString),
    Refused {
        failure: Failure,
        /// Whether the server has understood what it refuses.
        is_final: bool,
    },
}

/// A response that is neither a ticket nor a redirect.
fn judge(
    login: &Url,
    response: &Response,
    info: Option<AuthenticationInfo>,
) -> Result<Answer, Failure> {
    let at = &login.address;
    let refusal = text_of(&response.headers, &WWW_AUTHENTICATE)
        .map(|value| passport::refusal(value.expose_secret()))
        .unwrap_or_default();
    let says_failed = |status: &Option<String>| {
        status
            .as_deref()
            .is_some_and(|status| status.starts_with("failed"))
    };
    let failed = says_failed(&refusal.status)
        || matches!(&info, Some(AuthenticationInfo::Other(status)) if says_failed(status));
    if response.status == 401 || failed {
        let text = refusal
            .text
            .map(|text| {
                // Hidden before it is cut: half of a secret would stand there.
                let text: String = secret::redact(&text).chars().take(MAX_TEXT).collect();
                format!(": {text}")
            })
            .unwrap_or_default();
        let failure = Failure::credentials(
            Stage::Login,
            "wrong-password",
            format!("{at} refused the account or the password{text}"),
            "check the account's spelling and its password",
        );
        let is_final = refusal.is_explicit;
        return Ok(Answer::Refused { failure, is_final });
    }
    if response.status == 503 {
        return Err(Failure::no_profile(
            Stage::Login,
            "server-busy",
            format!("{at} is busy, or has refused too many logins (HTTP 503)"),
            "try again in a minute or later",
        ));
    }
    let (code, message) = match response.status {
        200..=299 => (
            "login-without-ticket",
            format!("{at} answered without a usable ticket"),
        ),
        status => (
            "login-failed",
            format!("{at} answered HTTP {status} instead of a ticket"),
        ),
    };
    Err(Failure::no_profile(
        Stage::Login,
        code,
        message,
        "check --login-url or --nexus-url; if they are right, try again later",
    ))
}

/// Where a response sends us on to, if it does.
fn redirect(from: &Url, response: &Response, stage: Stage) -> Result<Option<Url>, Failure> {
    let Some(location) = response.headers.get(LOCATION) else {
        return Ok(None);
    };
    if !(300..400).contains(&response.status) {
        return Ok(None);
    }
    let to = location
        .to_str()
        .ok()
        .and_then(|location| from.join(location).ok());
    to.map(Some).ok_or_else(|| {
        Failure::no_profile(
            stage,
            "bad-redirect",
            format!(
                "{} redirects to something that is no web address",
                from.address
            ),
            "check --login-url or --nexus-url",
        )
    })
}

fn too_many_redirects(at: &Url, stage: Stage) -> Failure {
    Failure::no_profile(
        stage,
        "too-many-redirects",
        format!("{} redirects more than {MAX_REDIRECTS} times", at.address),
        "check --login-url or --nexus-url",
    )
}

fn login_page(urls: &SecretString, nexus: &Url) -> Result<Url, Failure> {
    passport::login_url(urls.expose_secret())
        .and_then(|url| url.parse().ok())
        .ok_or_else(|| {
            Failure::no_profile(
                Stage::Nexus,
                "nexus-without-login",
                format!("{nexus} names no login page (DALogin) that is a web address"),
                "name the login page with --login-url",
            )
        })
}

/// A header's text, bytes that are no UTF-8 replaced; secret, because some of them are.
fn text_of(headers: &HeaderMap, name: &Name) -> Option<SecretString> {
    let value = headers.get(name)?;
    Some(SecretString::from(
        String::from_utf8_lossy(value.as_bytes()).into_owned(),
    ))
}
