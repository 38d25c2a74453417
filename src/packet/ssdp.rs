//! SSDP: which routers on the local link have UPnP, and where they describe themselves.
//!
//! Source: UPnP Device Architecture 2.0, section 1.3 (HTTP over datagrams).

use std::net::{Ipv4Addr, SocketAddrV4};

/// Where searches go: every device of the link listens there.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// The most header fields of an answer that is read.
const MOST_FIELDS: usize = 32;

/// The longest `LOCATION` that is followed, in bytes.
const LONGEST_LOCATION: usize = 512;

/// A search for routers. A device of a later version answers it as well.
#[must_use]
pub fn search(to: SocketAddrV4) -> Vec<u8> {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
         ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    )
    .into_bytes()
}

/// The URL of a router's description, from its answer to a search; `None` if the bytes are none.
#[must_use]
pub fn location(bytes: &[u8]) -> Option<String> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    if !answer.parse(bytes).ok()?.is_complete() || answer.code != Some(200) {
        return None;
    }
    let field = |name: &str| {
        let mut fields = answer.headers.iter();
        let found = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let is_router = field("ST")?.contains(":InternetGatewayDevice:");
    let location = field("LOCATION")?;
    (is_router && location.len() <= LONGEST_LOCATION).then(|| location.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n";

    fn answer(fields: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nEXT:\r\n{fields}\r\n")
    }

    #[test]
    fn a_router_says_where_it_describes_itself() {
        let text = answer(&format!(
            "{ROUTER}Location:  http://192.168.1.1:5000/rootDesc.xml \r\n"
        ));
        let want = Some("http://192.168.1.1:5000/rootDesc.xml".to_owned());
        assert_eq!(location(text.as_bytes()), want);
    }

    #[test]
    fn what_is_no_answer_of_a_router_is_not_read() {
        let at = "LOCATION: http://192.168.1.1/\r\n";
        let long = format!(
            "LOCATION: http://192.168.1.1/{}\r\n",
            "a".repeat(LONGEST_LOCATION)
        );
        for text in [
            String::new(),
            answer(ROUTER),
            answer(at),
            answer(&format!("ST: upnp:rootdevice\r\n{at}")),
            answer(&format!("{ROUTER}{long}")),
            answer(&format!("{ROUTER}{at}{}", "X: y\r\n".repeat(MOST_FIELDS))),
            answer(&format!("{ROUTER}{at}")).replace("200 OK", "404 Not Found"),
            answer(&format!("{ROUTER}{at}")).replace("HTTP/1.1", "HTTP/9.9"),
            String::from_utf8(search(GROUP)).unwrap(),
        ] {
            assert_eq!(location(text.as_bytes()), None, "{text}");
        }
        let whole = answer(&format!("{ROUTER}{at}"));
        assert!(location(whole.as_bytes()).is_some());
        for len in 0..whole.len() {
            assert_eq!(location(&whole.as_bytes()[..len]), None, "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = location(&bytes);
        }
    }
}
