//! `http` and `https` URLs: scheme, host, port, path.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

use crate::address::Address;
use crate::secret::excerpt;

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub https: bool,
    /// Host and port.
    pub address: Address,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// Why a text is not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an http:// or https:// URL")]
pub struct BadUrl(String);

impl Url {
    /// Whether both lead to the same server.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.address == other.address
    }

    /// Where a `Location` header leads to from this page: a whole URL, one without the scheme
    /// (`//host/path`), a path from the root, or one relative to this page (RFC 3986 §5.2).
    ///
    /// # Errors
    /// [`BadUrl`] where that is not an HTTP URL.
    pub fn join(&self, location: &str) -> Result<Self, BadUrl> {
        let location = location.trim();
        let scheme = if self.https { "https" } else { "http" };
        if location.starts_with("//") {
            return format!("{scheme}:{location}").parse();
        }
        let before_query = |text: &str| text.find(['?', '#']).unwrap_or(text.len());
        let (reference, _fragment) = location.split_once('#').unwrap_or((location, ""));
        if reference[..before_query(reference)].contains(':') {
            return reference.parse();
        }
        let here = &self.path[..before_query(&self.path)];
        let path = match reference {
            "" => self.path.clone(),
            _ if reference.starts_with('/') => reference.to_owned(),
            _ if reference.starts_with('?') => format!("{here}{reference}"),
            _ => {
                let folder = here.rfind('/').map_or("/", |at| &here[..=at]);
                format!("{folder}{reference}")
            }
        };
        let (path, query) = path.split_at(before_query(&path));
        let uri = format!("{}{query}", without_dots(path)).parse::<Uri>();
        let uri = uri.map_err(|_| bad(location))?;
        Ok(Self {
            path: path_of(&uri).ok_or_else(|| bad(location))?,
            ..self.clone()
        })
    }

    /// Host and, unless it is the scheme's own, the port: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let text = self.address.to_string();
        let usual = if self.https { ":443" } else { ":80" };
        text.strip_suffix(usual).map(str::to_owned).unwrap_or(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.trim().parse().map_err(|_| bad(text))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad(text)),
        };
        let authority = uri.authority().ok_or_else(|| bad(text))?.as_str();
        let address =
            Address::parse(authority, if https { 443 } else { 80 }).map_err(|_| bad(text))?;
        Ok(Self {
            https,
            address,
            path: path_of(&uri).ok_or_else(|| bad(text))?,
        })
    }
}

/// The path with `.` and `..` carried out (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    let last = is_folder.then_some("");
    for segment in path.split('/').skip(1).chain(last) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Path and query. Raw bytes beyond ASCII have no place there, and some of the characters they
/// stand for control terminals.
fn path_of(uri: &Uri) -> Option<String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    path.is_ascii().then(|| format!("{slash}{path}"))
}

fn bad(text: &str) -> BadUrl {
    BadUrl(excerpt(text, 100).replace(char::is_control, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_taken_apart() {
        let nexus = url("https://nexus.example/rdr/pprdr.asp?x=1");
        assert!(nexus.https);
        assert_eq!(nexus.address.to_string(), "nexus.example:443");
        assert_eq!(nexus.path, "/rdr/pprdr.asp?x=1");
        assert_eq!(nexus.authority(), "nexus.example");
        assert_eq!(url("http://[::1]:8080").authority(), "[::1]:8080");
        assert_eq!(url("http://[::1]:8080").path, "/");
        assert_eq!(url("http://h?x=1").path, "/?x=1");
        assert_eq!(nexus.to_string(), "https://nexus.example/rdr/pprdr.asp?x=1");
    }

    #[test]
    fn invalid_urls_are_rejected() {
        for bad in [
            "",
            "nexus.example",
            "ftp://h/",
            "https://",
            "https:///x",
            "https://u:p@h/",
            "https://h:0/",
            "https://h/\u{9b}2J",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_location_may_be_relative() {
        let here = url("https://a:8443/login?x");
        assert_eq!(
            here.join("/next?y=1").unwrap(),
            url("https://a:8443/next?y=1")
        );
        assert_eq!(here.join("https://b/z").unwrap(), url("https://b/z"));
        assert_eq!(here.join("//b/z").unwrap(), url("https://b/z"));
        assert_eq!(
            here.join("next?z=a:b").unwrap(),
            url("https://a:8443/next?z=a:b")
        );
        assert_eq!(here.join("?y").unwrap(), url("https://a:8443/login?y"));
        assert_eq!(here.join("#part").unwrap(), here);
        let deep = url("https://a/b/c/d?q");
        for (location, wanted) in [
            ("g", "https://a/b/c/g"),
            ("./g", "https://a/b/c/g"),
            ("../g/", "https://a/b/g/"),
            ("../../../g", "https://a/g"),
            ("..", "https://a/b/"),
            (".", "https://a/b/c/"),
            ("/x/./y/../z", "https://a/x/z"),
        ] {
            assert_eq!(deep.join(location).unwrap(), url(wanted), "{location}");
        }
        assert!(here.join("ftp:next").is_err());
        assert!(here.join("mailto:a@b").is_err());
        assert!(here.join("///").is_err());
        assert!(here.join("/\u{9b}2J").is_err());
        assert!(here.same_origin(&url("https://a:8443/other")));
        assert!(!here.same_origin(&url("http://a:8443/login")));
    }
}
