//! Passport 1.4 ("Tweener") over HTTPS: the nexus, the login page, the ticket.

use hyper::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};

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

const PASSPORT_URLS: HeaderName = HeaderName::from_static("passporturls");
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

/// Gets a ticket, and prepares it before the policy is known.
pub(super) struct Tweener<'a> {
    plan: &'a Plan,
    log: &'a RunLog,
    /// Made for the first page.
    connector: Option<Connector>,
    /// The connection that was used last, or was opened ahead.
    kept: Option<Connection>,
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
            passport_urls: None,
        }
    }

    /// Does all that needs no policy yet: asks the nexus, connects to the login page.
    pub(super) async fn prepare(&mut self) -> Result<Url, Failure> {
        let login = match &self.plan.passport {
            Passport::Login(url) => url.clone(),
            Passport::Nexus(nexus) => self.ask_nexus(nexus).await?,
        };
        self.allow(&login, Purpose::Login)?;
        self.reach(&login, Purpose::Login).await?;
        Ok(login)
    }

    /// The ticket for a policy.
    pub(super) async fn ticket(
        &mut self,
        login: &Url,
        policy: &str,
    ) -> Result<SecretString, Failure> {
        let (failure, is_final) = match self.sign_in(login, policy, SignIn::Encoded).await? {
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
        match self.sign_in(login, policy, SignIn::AsTyped).await? {
            Answer::Ticket(ticket) => Ok(ticket),
            Answer::Refused { failure, .. } => Err(failure),
        }
    }

    async fn ask_nexus(&mut self, nexus: &Url) -> Result<Url, Failure> {
        // The header counts, whatever the status.
        let urls = |response: &Response| text_of(&response.headers, &PASSPORT_URLS);
        let (nexus, response, urls) = self.follow(nexus, None, Purpose::Nexus, urls).await?;
        let Some(urls) = urls else {
            let status = response.status;
            return Err(Failure::new(
                Stage::Nexus,
                ErrorCode::NexusWithoutHeader,
                format!("{nexus} answers HTTP {status} without PassportURLs"),
            ));
        };
        let login = passport::login_url(urls.expose_secret()).and_then(|url| url.parse().ok());
        self.passport_urls = Some(urls);
        login.ok_or_else(|| {
            Failure::new(
                Stage::Nexus,
                ErrorCode::NexusWithoutLogin,
                format!("{nexus} names no login page (DALogin) that is a URL"),
            )
        })
    }

    /// Logs in and follows redirects. The header goes along to each address the server names:
    /// that is how Passport redirects work ([MS-PASS] 3.1.5.4).
    async fn sign_in(
        &mut self,
        login: &Url,
        policy: &str,
        sign_in: SignIn,
    ) -> Result<Answer, Failure> {
        let Plan {
            account, password, ..
        } = self.plan;
        let header = passport::authorization(account.as_str(), password, policy, sign_in);
        let mut header = HeaderValue::from_str(header.expose_secret()).map_err(|_| {
            Failure::new(
                Stage::Login,
                ErrorCode::BadPolicy,
                "the server's policy cannot be put into a header",
            )
        })?;
        header.set_sensitive(true);
        secret::remember(password.expose_secret());
        secret::remember(&sign_in.write(password.expose_secret()));
        let found = |response: &Response| match info_of(response) {
            Some(AuthenticationInfo::Ticket(ticket)) => Some(ticket),
            _ => None,
        };
        let (login, response, ticket) = self
            .follow(login, Some(&header), Purpose::Login, found)
            .await?;
        let Some(ticket) = ticket else {
            return judge(&login, &response);
        };
        secret::remember_ticket(&ticket);
        Ok(Answer::Ticket(ticket))
    }

    /// Requests a page, and those it redirects to, until what is wanted is `found`, or there is no
    /// redirect: the last page, its response, and what was found.
    async fn follow<T>(
        &mut self,
        page: &Url,
        authorization: Option<&HeaderValue>,
        purpose: Purpose,
        found: impl Fn(&Response) -> Option<T>,
    ) -> Result<(Url, Response, Option<T>), Failure> {
        let stage = purpose.stage(Stage::Request);
        let mut page = page.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.allow(&page, purpose)?;
            if authorization.is_some() {
                self.note_credentials(&page);
            }
            let response = self.get(&page, authorization, purpose).await?;
            let found = found(&response);
            let next = match found {
                Some(_) => None,
                None => redirect(&page, &response, stage)?,
            };
            match next {
                Some(next) => page = next,
                None => return Ok((page, response, found)),
            }
        }
        let message = format!("{} redirects more than {MAX_REDIRECTS} times", page.address);
        Err(Failure::new(stage, ErrorCode::TooManyRedirects, message))
    }

    /// The credentials are about to be sent.
    fn note_credentials(&self, login: &Url) {
        let to = login.address.clone();
        let mut hosts = self.plan.credential_hosts.iter();
        let named = hosts.any(|host| host.eq_ignore_ascii_case(&to.host));
        self.log.note(Event::CredentialsSent { to, named });
    }

    /// One GET, over the kept connection where it leads there; once more on a new one where the
    /// server closed the kept one just as it was used.
    async fn get(
        &mut self,
        url: &Url,
        authorization: Option<&HeaderValue>,
        purpose: Purpose,
    ) -> Result<Response, Failure> {
        let log = self.log;
        let what = match purpose {
            Purpose::Nexus => format!("the nexus {}", url.address),
            _ => format!("the ticket from {}", url.address),
        };
        let header = authorization.map(|value| (AUTHORIZATION, value.clone()));
        let ask = Request {
            headers: header.into_iter().collect(),
            ..Request::default()
        };
        loop {
            let reused = self.kept.as_ref().is_some_and(|kept| kept.leads_to(url));
            let connection = self.reach(url, purpose).await?;
            let _step = log.begin(purpose, Stage::Request, what.clone());
            match connection.ask(url, ask.clone()).await {
                Err(unanswered) if reused && unanswered.stale => self.kept = None,
                done => return done.map_err(|unanswered| unanswered.failure),
            }
        }
    }

    /// A connection to the server of `url`: the kept one, or a new one.
    async fn reach(&mut self, url: &Url, purpose: Purpose) -> Result<&mut Connection, Failure> {
        let route = &self.plan.route;
        let kept = match self.kept.take() {
            Some(kept) if kept.leads_to(url) => kept,
            _ => {
                let log = self.log;
                let connector = match &self.connector {
                    Some(connector) => connector,
                    None => self.connector.insert(Connector::new(&route.extra_roots)?),
                };
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
fn judge(login: &Url, response: &Response) -> Result<Answer, Failure> {
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
        || matches!(&info_of(response), Some(AuthenticationInfo::Other(status)) if says_failed(status));
    if response.status == 401 || failed {
        let text = refusal
            .text
            .map(|text| format!(": {}", secret::excerpt(&text, MAX_TEXT)))
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

/// What the response's `Authentication-Info` says, where it has one.
fn info_of(response: &Response) -> Option<AuthenticationInfo> {
    let value = text_of(&response.headers, &AUTHENTICATION_INFO)?;
    Some(passport::authentication_info(value.expose_secret()))
}

/// A header's text, bytes that are no UTF-8 replaced; secret, because some of them are.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<SecretString> {
    let value = headers.get(name)?;
    Some(SecretString::from(
        String::from_utf8_lossy(value.as_bytes()).into_owned(),
    ))
}
