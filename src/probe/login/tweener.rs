//! Passport 1.4 ("Tweener") over HTTPS: the nexus, the login page, the ticket.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::header::{HeaderName as Name, WWW_AUTHENTICATE};

use super::{Passport, Plan};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::passport::{self, AuthenticationInfo, SignIn};
use crate::run_log::{Event, Purpose, RunLog};
use crate::secret::{self, ExposeSecret, SecretString};
use crate::transport::{Connection, Connector, Dialer, Request, Response, Url};

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
    plan: &'a Plan,
    log: &'a RunLog,
    connector: Option<Connector>,
    /// The connection that was used last, or was opened ahead.
    kept: Option<Connection>,
    /// The login page, once it is known.
    login: Option<Url>,
    /// The nexus' header, where a nexus was asked.
    passport_urls: Option<SecretString>,
}

impl<'a> Tweener<'a> {
    pub(super) const fn new(plan: &'a Plan, log: &'a RunLog) -> Self {
        Self {
            plan,
            log,
            connector: None,
            kept: None,
            login: None,
            passport_urls: None,
        }
    }

    /// Does all that needs no policy yet: asks the nexus, connects to the login server.
    pub(super) async fn prepare(&mut self) -> Result<(), Failure> {
        let login = match &self.plan.passport {
            Passport::Login(url) => url.clone(),
            Passport::Nexus(nexus) => self.ask_nexus(nexus.clone()).await?,
        };
        self.allow(&login, Purpose::Login)?;
        self.reach(&login, Purpose::Login).await?;
        self.login = Some(login);
        Ok(())
    }

    /// The ticket for a policy.
    pub(super) async fn ticket(&mut self, policy: &str) -> Result<SecretString, Failure> {
        let Some(login) = self.login.clone() else {
            self.prepare().await?;
            return Box::pin(self.ticket(policy)).await;
        };
        let (failure, is_final) = match self.sign_in(&login, policy, SignIn::Encoded).await? {
            Answer::Ticket(ticket) => return Ok(ticket),
            Answer::Refused { failure, is_final } => (failure, is_final),
        };
        // Some servers decode nothing: they know the account only as it is typed. Where that may
        // be so, it is worth one more try; where the server has understood what it refuses, a
        // second wrong try would only bring the account nearer to being locked.
        let urls = self.passport_urls.as_ref().map(|urls| urls.expose_secret());
        if is_final || self.plan.decodes_sign_in || passport::decodes(policy, urls) {
            return Err(failure);
        }
        match self.sign_in(&login, policy, SignIn::AsTyped).await? {
            Answer::Ticket(ticket) => Ok(ticket),
            Answer::Refused { failure, .. } => Err(failure),
        }
    }

    async fn ask_nexus(&mut self, mut nexus: Url) -> Result<Url, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            self.allow(&nexus, Purpose::Nexus)?;
            let response = self.get(&nexus, None, Purpose::Nexus).await?;
            // The header counts, whatever the status.
            if let Some(urls) = text_of(&response.headers, &PASSPORT_URLS) {
                return login_page(self.passport_urls.insert(urls), &nexus);
            }
            match redirect(&nexus, &response, Stage::Nexus)? {
                Some(next) => nexus = next,
                None => {
                    return Err(Failure::new(
                        Stage::Nexus,
                        ErrorCode::NexusWithoutHeader,
                        format!(
                            "{nexus} answers HTTP {} without PassportURLs",
                            response.status
                        ),
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
        let plan = self.plan;
        let mut login = login.clone();
        let header =
            passport::authorization(plan.account.as_str(), &plan.password, policy, sign_in);
        let mut header = HeaderValue::from_str(header.expose_secret()).map_err(|_| {
            Failure::new(
                Stage::Login,
                ErrorCode::BadPolicy,
                "the server's policy cannot be put into a header",
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
            self.allow(&login, Purpose::Login)?;
            let extra = Some((AUTHORIZATION, header.clone()));
            self.note_credentials(&login);
            let response = self.get(&login, extra, Purpose::Login).await?;
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

    /// The credentials are about to be sent.
    fn note_credentials(&self, login: &Url) {
        let to = login.address.clone();
        let mut hosts = self.plan.credential_hosts.iter();
        let named = hosts.any(|host| host.eq_ignore_ascii_case(&to.host));
        self.log.note(Event::CredentialsSent { to, named });
    }

    /// One GET, over the kept connection where it leads there.
    async fn get(
        &mut self,
        url: &Url,
        extra: Option<(HeaderName, HeaderValue)>,
        purpose: Purpose,
    ) -> Result<Response, Failure> {
        let reused = self.kept.as_ref().is_some_and(|kept| kept.leads_to(url));
        let ask = Request {
            headers: extra.into_iter().collect(),
            ..Request::default()
        };
        let log = self.log;
        let what = match purpose {
            Purpose::Nexus => format!("the nexus {}", url.address),
            _ => format!("the ticket from {}", url.address),
        };
        let connection = self.reach(url, purpose).await?;
        let step = log.begin(purpose, Stage::Request, what.clone());
        let first = connection.ask(url, ask.clone()).await;
        drop(step);
        match first {
            Ok(response) => Ok(response),
            // The server closed the idle connection just as it was used.
            Err(unanswered) if reused && unanswered.stale => {
                self.kept = None;
                let connection = self.reach(url, purpose).await?;
                let _step = log.begin(purpose, Stage::Request, what);
                let again = connection.ask(url, ask).await;
                again.map_err(|unanswered| unanswered.failure)
            }
            Err(unanswered) => Err(unanswered.failure),
        }
    }

    /// A connection to the server of `url`: the kept one, or a new one.
    async fn reach(&mut self, url: &Url, purpose: Purpose) -> Result<&mut Connection, Failure> {
        let route = &self.plan.route;
        let kept = match self.kept.take() {
            Some(kept) if kept.leads_to(url) => kept,
            _ => {
                let connector = match &self.connector {
                    Some(connector) => connector,
                    None => self.connector.insert(Connector::new(&route.extra_roots)?),
                };
                let log = self.log;
                Connection::open(&Dialer { route, log }, connector, url, purpose).await?
            }
        };
        Ok(self.kept.insert(kept))
    }

    /// Whether the password may go there.
    fn allow(&self, url: &Url, purpose: Purpose) -> Result<(), Failure> {
        if url.https || self.plan.insecure_http {
            return Ok(());
        }
        Err(Failure::new(
            purpose.stage(Stage::Request),
            ErrorCode::PlainHttp,
            // Not the whole URL: a redirect may repeat what it was asked with.
            format!(
                "http://{} would carry the password without encryption",
                url.address
            ),
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
                // Hidden before it is cut, which could leave half of a secret.
                let text: String = secret::redact(&text).chars().take(MAX_TEXT).collect();
                format!(": {text}")
            })
            .unwrap_or_default();
        let failure = Failure::new(
            Stage::Login,
            ErrorCode::WrongPassword,
            format!("{at} refused the account or the password{text}"),
        );
        let is_final = refusal.is_explicit;
        return Ok(Answer::Refused { failure, is_final });
    }
    let (code, message) = match response.status {
        503 => (
            ErrorCode::ServerBusy,
            format!("{at} is busy, or has refused too many logins (HTTP 503)"),
        ),
        200..=299 => (
            ErrorCode::LoginWithoutTicket,
            format!("{at} answered without a usable ticket"),
        ),
        status => (
            ErrorCode::LoginFailed,
            format!("{at} answered HTTP {status} instead of a ticket"),
        ),
    };
    Err(Failure::new(Stage::Login, code, message))
}

/// Where a response redirects to, if it does.
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
        Failure::new(
            stage,
            ErrorCode::BadRedirect,
            format!("{} redirects to something that is not a URL", from.address),
        )
    })
}

fn too_many_redirects(at: &Url, stage: Stage) -> Failure {
    Failure::new(
        stage,
        ErrorCode::TooManyRedirects,
        format!("{} redirects more than {MAX_REDIRECTS} times", at.address),
    )
}

fn login_page(urls: &SecretString, nexus: &Url) -> Result<Url, Failure> {
    passport::login_url(urls.expose_secret())
        .and_then(|url| url.parse().ok())
        .ok_or_else(|| {
            Failure::new(
                Stage::Nexus,
                ErrorCode::NexusWithoutLogin,
                format!("{nexus} names no login page (DALogin) that is a URL"),
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
