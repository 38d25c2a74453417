//! Secrets that can be recognized in every encoding.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use memchr::memmem;

/// A secret with a core of letters and digits, which nothing encodes but base64 and hex; the
/// rest of it needs encoding everywhere.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) name: &'static str,
    pub(super) text: String,
    core: String,
}

impl Marker {
    pub(super) fn new(name: &'static str, before: &str, core: &str, after: &str) -> Self {
        assert!(core.len() >= 12 && core.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        Self {
            name,
            text: format!("{before}{core}{after}"),
            core: core.to_owned(),
        }
    }

    /// A secret of another origin: its longest run of letters and digits counts.
    pub(super) fn found(name: &'static str, text: &str) -> Self {
        let runs = text.split(|c: char| !c.is_ascii_alphanumeric());
        let core = runs.max_by_key(|run| run.len()).unwrap_or_default();
        // A chance find of fewer would be likely.
        assert!(core.len() >= 8, "{name}");
        Self {
            name,
            text: text.to_owned(),
            core: core.to_owned(),
        }
    }

    /// The forms it could be found in.
    fn forms(&self) -> Vec<(&'static str, String)> {
        let core = self.core.as_bytes();
        let of = |each: &dyn Fn(&u8) -> String| core.iter().map(each).collect::<String>();
        let mut forms = vec![
            ("plain", self.core.clone()),
            ("percent-encoded", of(&|byte| format!("%{byte:02X}"))),
            ("percent-encoded", of(&|byte| format!("%{byte:02x}"))),
            ("hex", of(&|byte| format!("{byte:02x}"))),
            ("hex", of(&|byte| format!("{byte:02X}"))),
            ("bytes", of(&|byte| format!("{byte}, "))),
        ];
        // Where in a group of three it begins depends on what stands before it.
        for before in 0..3 {
            let padded = [&vec![0; before], core].concat();
            let whole = &padded[..padded.len() / 3 * 3];
            for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
                let text = engine.encode(whole);
                let own = if before == 0 { 0 } else { 4 };
                forms.push(("base64", text[own..].to_owned()));
            }
        }
        forms
    }

    /// The form in which it is there, if it is.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let lower = bytes.to_ascii_lowercase();
        let folded = self.core.to_ascii_lowercase();
        if memmem::find(&lower, folded.as_bytes()).is_some() {
            return Some("plain");
        }
        self.forms()
            .into_iter()
            .find(|(_, form)| memmem::find(bytes, form.as_bytes()).is_some())
            .map(|(name, _)| name)
    }
}

/// The secrets of one login.
#[derive(Clone, Debug)]
pub(super) struct Markers {
    pub(super) password: Marker,
    pub(super) ticket: Marker,
    pub(super) sso: Marker,
    pub(super) proxy: Marker,
}

impl Markers {
    pub(super) fn new() -> Self {
        Self {
            password: Marker::new("password", "pä,", "Kq7vXm2ZpW8sRt4y", "=%/+ &'\""),
            ticket: Marker::new("ticket", "t=", "Tk9cHbLw3QeUz6Nd", "$&p=1*!"),
            sso: Marker::new("MSPAuth", "", "Aj5fGs8MoYx2VdPi", "$$"),
            proxy: Marker::new("proxy password", "p:@", "Ux3nWe7BhTa9CkLr", "%,/"),
        }
    }

    pub(super) fn all(&self) -> [&Marker; 4] {
        [&self.password, &self.ticket, &self.sso, &self.proxy]
    }
}

#[test]
fn a_marker_is_found_in_every_form() {
    let markers = Markers::new();
    for marker in markers.all() {
        let text = &marker.text;
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [
            text.clone(),
            text.to_uppercase(),
            msnp9_conntype::msnp::percent_encode(text),
            hex.to_uppercase(),
            hex,
            format!("{text:?}"),
            format!("{:?}", text.as_bytes()),
            BASE64_STANDARD_NO_PAD.encode(text),
            BASE64_STANDARD_NO_PAD.encode(format!("u:{text}")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("us:{text}")),
            BASE64_STANDARD_NO_PAD.encode(format!("use:{text}")),
        ] {
            assert!(marker.found_in(form.as_bytes()).is_some(), "{form}");
        }
        for other in markers.all() {
            let same = marker.name == other.name;
            assert_eq!(marker.found_in(other.text.as_bytes()).is_some(), same);
        }
    }
}
