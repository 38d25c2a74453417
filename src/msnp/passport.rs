//! The headers of Passport 1.4 ("Tweener"), for both ends.
//!
//! Text in, values out; other rooms carry the headers over HTTPS.
//! Sources: [MS-PASS] 2.2; hypothetic.org, notification/authentication.

use super::{encode_header_piece, percent_decode, percent_encode};
use crate::secret::{ExposeSecret, SecretString};

/// The word every one of these headers begins with.
pub const SCHEME: &str = "Passport1.4";

/// The longest ticket accepted, in bytes; it has to fit into a line. The longest seen has about
/// 1500.
pub const MAX_TICKET: usize = 4096;

/// The login page, which issues tickets, as the nexus names it in `PassportURLs`.
///
/// Servers of today write a scheme (`DALogin=https://host/login`), Microsoft wrote none
/// (`DALogin=login.passport.com/login2.srf`); the answer always has one. `None` where the header
/// has no `DALogin`.
#[must_use]
pub fn login_url(passport_urls: &str) -> Option<String> {
    let page = value_of(passport_urls, "DALogin").filter(|page| !page.is_empty())?;
    let scheme = if page.contains("://") { "" } else { "https://" };
    Some(format!("{scheme}{page}"))
}

/// How account and password are written into the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// Percent-encoded, as [MS-PASS] has it.
    Encoded,
    /// As typed, for servers that decode nothing; only what would break the header is encoded.
    AsTyped,
}

impl SignIn {
    /// Both forms, in the order in which they are tried. Only tests and fuzz targets use it.
    pub const ALL: [Self; 2] = [Self::Encoded, Self::AsTyped];

    /// The text in this form.
    #[must_use]
    pub fn write(self, text: &str) -> String {
        match self {
            Self::Encoded => percent_encode(text),
            Self::AsTyped => encode_header_piece(text),
        }
    }
}

/// Whether a server is known to decode the account, so that a refusal is about the password.
///
/// That is Escargot, which sends this policy and names its login page as its only key, and the
/// embedded server in that form.
/// `passport_urls` is the nexus' header, where a nexus was asked.
#[must_use]
pub fn decodes(policy: &str, passport_urls: Option<&str>) -> bool {
    let escargot = policy == "ct=1,rver=1,wp=FS_40SEC_0_COMPACT,lc=1,id=1";
    let named = passport_urls.is_some_and(|urls| {
        let page = urls.trim().strip_prefix("DALogin=https://");
        page.is_some_and(|page| !page.contains(',') && page.ends_with("/login"))
    });
    escargot && named
}

/// The `Authorization` header's value.
///
/// `policy` is what came after `USR … TWN S`, to the byte.
#[must_use]
pub fn authorization(
    account: &str,
    password: &SecretString,
    policy: &str,
    sign_in: SignIn,
) -> SecretString {
    let account = sign_in.write(account);
    let password = SecretString::from(sign_in.write(password.expose_secret()));
    SecretString::from(format!(
        "{SCHEME} OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom,sign-in={account},pwd={},{policy}",
        password.expose_secret()
    ))
}

/// What an `Authentication-Info` header says.
#[derive(Debug)]
pub enum AuthenticationInfo {
    /// The login is done; here is the ticket.
    Ticket(SecretString),
    /// Go to the `Location` and ask there.
    Redirect,
    /// Neither; the status word, if there is one.
    Other(Option<String>),
}

/// Reads an `Authentication-Info` header.
#[must_use]
pub fn authentication_info(value: &str) -> AuthenticationInfo {
    let status = status(value);
    if status.as_deref() == Some("redir") {
        return AuthenticationInfo::Redirect;
    }
    match ticket(value) {
        Some(ticket) if !matches!(status.as_deref(), Some("failed" | "failed-noretry")) => {
            AuthenticationInfo::Ticket(ticket)
        }
        _ => AuthenticationInfo::Other(status),
    }
}

/// The ticket: what stands between the quotes after `from-PP=`. It may hold commas and equal
/// signs, but nothing that would end the line it has to travel in.
fn ticket(value: &str) -> Option<SecretString> {
    const KEY: &str = "from-PP=";
    let at = find_ignoring_case(value, KEY)?;
    let rest = &value[at + KEY.len()..];
    let ticket = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?.0,
        None => rest.split(',').next()?.trim(),
    };
    let fits = (1..=MAX_TICKET).contains(&ticket.len());
    let is_one_word = ticket.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && is_one_word).then(|| SecretString::from(ticket))
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    text.as_bytes()
        .windows(word.len())
        .position(|w| w.eq_ignore_ascii_case(word.as_bytes()))
}

/// Why a login was refused, as a `WWW-Authenticate` header says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The status word, such as `failed`.
    pub status: Option<String>,
    /// The server's text for a person, decoded (`cbtxt`), at most 2000 characters.
    pub text: Option<String>,
    /// Whether it says more than that it failed, as Microsoft's did (`srealm`, `ts`, `cbtxt`): then
    /// it has understood what it refuses.
    pub is_explicit: bool,
}

/// Reads a `WWW-Authenticate` header.
#[must_use]
pub fn refusal(value: &str) -> Refusal {
    let text = value_of(value, "cbtxt").map(|text| {
        let text = percent_decode(text);
        let printable = text.chars().filter(|c| !c.is_control());
        printable.take(2000).collect::<String>()
    });
    let explanations = ["srealm", "ts", "cbtxt"];
    Refusal {
        status: status(value),
        text: text.filter(|text| !text.trim().is_empty()),
        is_explicit: explanations
            .iter()
            .any(|key| value_of(value, key).is_some()),
    }
}

/// The status word in lower case, at most 40 characters.
fn status(value: &str) -> Option<String> {
    let status = value_of(value, "da-status")?;
    Some(status.to_ascii_lowercase().chars().take(40).collect())
}

/// The value of a key, compared without case; the first of several counts.
fn value_of<'a>(header: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = pairs(header);
    let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(wanted))?;
    Some(value)
}

/// The `key=value` pieces between commas, the scheme's word taken off. Values in quotes that hold
/// commas are split here; `ticket` reads its own.
fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    without_scheme(value).split(',').filter_map(|piece| {
        let (key, value) = piece.split_once('=')?;
        Some((key.trim(), value.trim()))
    })
}

fn without_scheme(value: &str) -> &str {
    let value = value.trim_start();
    match value.get(..SCHEME.len()) {
        Some(start) if start.eq_ignore_ascii_case(SCHEME) => value[SCHEME.len()..].trim_start(),
        _ => value,
    }
}

/// What a client's `Authorization` header holds.
#[derive(Debug)]
pub struct Credentials {
    /// The account, decoded.
    pub account: String,
    /// The password, decoded.
    pub password: SecretString,
}

/// Reads an `Authorization` header, the way the clients of the time wrote it: encoded or not,
/// with the policy or without, pieces repeated; the first of each counts. `None` where it is of
/// another scheme or lacks the account or the password.
#[must_use]
pub fn credentials(value: &str) -> Option<Credentials> {
    let rest = without_scheme(value);
    if rest.len() == value.trim_start().len() {
        return None;
    }
    // Some clients write the scheme's word twice, as a wiki showed it for years.
    let decoded = |key| value_of(rest, key).map(|value| percent_decode(value).into_owned());
    Some(Credentials {
        account: decoded("sign-in")?,
        password: SecretString::from(decoded("pwd")?),
    })
}

/// The form of the nexus' `PassportURLs` header; no single one suits every client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NexusForm {
    /// Microsoft's: `DARealm=…,DALogin=host/path,ConfigVersion=15`, no scheme.
    #[default]
    Classic,
    /// Escargot's: `DALogin=https://host/path` and nothing else.
    Escargot,
}

impl NexusForm {
    /// The header's value for a login page at `host` (with its port, if that is not 443).
    #[must_use]
    pub fn passport_urls(self, host: &str, path: &str) -> String {
        match self {
            Self::Classic => {
                format!("DARealm=Passport.Net,DALogin={host}{path},ConfigVersion=15")
            }
            Self::Escargot => format!("DALogin=https://{host}{path}"),
        }
    }
}

/// The `Authentication-Info` header of a login that succeeded.
#[must_use]
pub fn success_header(ticket: &SecretString) -> SecretString {
    SecretString::from(format!(
        "{SCHEME} da-status=success,tname=MSPAuth,tname=MSPProf,tname=MSPSec,from-PP='{}',\
         ru=http://messenger.msn.com",
        ticket.expose_secret()
    ))
}

/// The `WWW-Authenticate` header of a login that was refused, with a text for a person.
#[must_use]
pub fn failure_header(text: &str) -> String {
    format!(
        "{SCHEME} da-status=failed,srealm=Passport.NET,ts=-3,prompt,cbtxt={}",
        percent_encode(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket_of(value: &str) -> Option<String> {
        match authentication_info(value) {
            AuthenticationInfo::Ticket(ticket) => Some(ticket.expose_secret().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_login_address_is_found_in_every_form() {
        let microsoft =
            "DARealm=Passport.Net,DALogin=login.passport.com/login2.srf,ConfigVersion=15";
        assert_eq!(
            login_url(microsoft).as_deref(),
            Some("https://login.passport.com/login2.srf")
        );
        assert_eq!(
            login_url("DALogin=https://h/login").as_deref(),
            Some("https://h/login")
        );
        assert_eq!(
            login_url(" dalogin = h:8443/login.srf").as_deref(),
            Some("https://h:8443/login.srf")
        );
        assert_eq!(
            login_url("DALogin=http://h/login").as_deref(),
            Some("http://h/login")
        );
        assert_eq!(login_url("DARealm=x"), None);
        assert_eq!(login_url("DALogin="), None);
        for form in [NexusForm::Classic, NexusForm::Escargot] {
            let header = form.passport_urls("h:1", "/login2.srf");
            assert_eq!(
                login_url(&header).as_deref(),
                Some("https://h:1/login2.srf")
            );
        }
    }

    #[test]
    fn the_ticket_is_found_in_every_form() {
        let microsoft =
            "Passport1.4 da-status=success,tname=MSPAuth,from-PP='t=a,b&p=c=',ru=http://m";
        assert_eq!(ticket_of(microsoft).as_deref(), Some("t=a,b&p=c="));
        let escargot = "Passport1.4 da-status=success,from-PP='0123456789abcdef0123'";
        assert_eq!(ticket_of(escargot).as_deref(), Some("0123456789abcdef0123"));
        assert_eq!(
            ticket_of("da-status=success,FROM-pp=t=x,ru=y").as_deref(),
            Some("t=x")
        );
    }

    #[test]
    fn invalid_tickets_are_rejected() {
        for bad in [
            "from-PP=''",
            "from-PP='a b'",
            "from-PP='open",
            "from-PP='\u{e9}'",
            "x",
            "",
        ] {
            assert_eq!(ticket_of(bad), None, "{bad}");
        }
        assert_eq!(
            ticket_of(&format!("from-PP='{}'", "x".repeat(MAX_TICKET + 1))),
            None
        );
        assert_eq!(
            ticket_of("Passport1.4 da-status=failed,from-PP='t=x'"),
            None
        );
        assert!(matches!(
            authentication_info("Passport1.4 da-status=redir"),
            AuthenticationInfo::Redirect
        ));
    }

    #[test]
    fn a_refusal_brings_its_text() {
        let header = "Passport1.4 da-status=failed,srealm=Passport.NET,ts=-3,prompt,cburl=http://x,cbtxt=Wrong%20password%2C%20try%0Aagain";
        let refusal = refusal(header);
        assert_eq!(refusal.status.as_deref(), Some("failed"));
        assert_eq!(refusal.text.as_deref(), Some("Wrong password, tryagain"));
        assert_eq!(
            super::refusal(&failure_header("No, never")).text.as_deref(),
            Some("No, never")
        );
        assert_eq!(super::refusal("Basic realm=x"), Refusal::default());
    }

    #[test]
    fn credentials_read_back_whatever_they_hold() {
        let password = SecretString::from("p,w=%+ ü");
        for sign_in in SignIn::ALL {
            let header = authorization("a+b@example.com", &password, "lc=1033,id=507", sign_in);
            assert_eq!(
                header.expose_secret().contains("b@"),
                sign_in == SignIn::AsTyped
            );
            let got = credentials(header.expose_secret()).unwrap();
            assert_eq!(got.account, "a+b@example.com");
            assert_eq!(got.password.expose_secret(), password.expose_secret());
        }
    }

    #[test]
    fn the_headers_of_old_clients_are_read() {
        let doubled = "Passport1.4 Passport1.4 OrgVerb=GET,sign-in=a@b.c,pwd=x";
        assert_eq!(credentials(doubled).unwrap().account, "a@b.c");
        let repeated = "Passport1.4 OrgVerb=GET,sign-in=a%40b.c,pwd=x,lc=1033,pwd=y,tpf=lc=1033";
        assert_eq!(credentials(repeated).unwrap().password.expose_secret(), "x");
        assert!(credentials("Basic sign-in=a,pwd=b").is_none());
        assert!(credentials("Passport1.4 sign-in=a").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_header_does_no_harm(text in ".*") {
            let _ = (login_url(&text), authentication_info(&text), refusal(&text), credentials(&text));
            let _ = credentials(&format!("{SCHEME} {text}"));
        }
    }
}
