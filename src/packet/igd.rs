//! UPnP IGD: a router's description of itself, and what it is asked over SOAP.
//!
//! Sources: UPnP Device Architecture 2.0 (sections 2 and 3), WANIPConnection:1 and :2,
//! WANPPPConnection:1.

use std::net::Ipv4Addr;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Protocol;

/// The types of services that map ports.
const TYPES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The most services of one router that are asked.
const MOST_SERVICES: usize = 4;

/// What a description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The URL that others are relative to, where it is not that of the description.
    pub base: Option<String>,
    /// The services that map ports, at most 4.
    pub services: Vec<Service>,
}

/// A service that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its type.
    pub kind: &'static str,
    /// Where it is asked; may be relative.
    pub control: String,
}

/// What a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The outside address.
    Address,
    /// To map an outside port to a port of this host.
    Map {
        /// Of which protocol.
        protocol: Protocol,
        /// The port outside.
        external: u16,
        /// This host.
        client: Ipv4Addr,
        /// The port of this host.
        internal: u16,
        /// How long, in seconds.
        lifetime: u32,
    },
    /// Which host a port is mapped to.
    Owner {
        /// Of which protocol.
        protocol: Protocol,
        /// The port outside.
        external: u16,
    },
    /// To end a mapping.
    Unmap {
        /// Of which protocol.
        protocol: Protocol,
        /// The port outside.
        external: u16,
    },
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// An address, as it is written: the outside one, or that of a host that a port is mapped to.
    Address(String),
    /// It did as it was asked.
    Done,
    /// An error, such as 718: the port is mapped to another host.
    Error(u16),
}

/// Reads a description; `None` if it is no XML.
#[must_use]
pub fn describe(xml: &[u8]) -> Option<Description> {
    let mut described = Description::default();
    let (mut kind, mut control) = (None, None);
    leaves(xml, |name, text| match name {
        "URLBase" if !text.is_empty() => described.base = Some(text.to_owned()),
        "serviceType" => kind = TYPES.into_iter().find(|known| *known == text),
        "controlURL" => control = Some(text.to_owned()),
        "service" => {
            if let (Some(kind), Some(control)) = (kind.take(), control.take())
                && described.services.len() < MOST_SERVICES
            {
                described.services.push(Service { kind, control });
            }
        }
        _ => {}
    })?;
    Some(described)
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "GetExternalIPAddress",
            Self::Map { .. } => "AddPortMapping",
            Self::Owner { .. } => "GetSpecificPortMappingEntry",
            Self::Unmap { .. } => "DeletePortMapping",
        }
    }

    /// The header field `SOAPACTION`.
    #[must_use]
    pub fn header(self, kind: &str) -> String {
        format!("\"{kind}#{}\"", self.name())
    }

    /// The body of the request.
    #[must_use]
    pub fn body(self, kind: &str) -> String {
        let name = self.name();
        let port = |protocol, external: u16| {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
            };
            format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort>\
                 <NewProtocol>{protocol}</NewProtocol>"
            )
        };
        let arguments = match self {
            Self::Address => String::new(),
            Self::Owner { protocol, external } | Self::Unmap { protocol, external } => {
                port(protocol, external)
            }
            Self::Map {
                protocol,
                external,
                client,
                internal,
                lifetime,
            } => format!(
                "{}<NewInternalPort>{internal}</NewInternalPort>\
                 <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>msnp9-conntype</NewPortMappingDescription>\
                 <NewLeaseDuration>{lifetime}</NewLeaseDuration>",
                port(protocol, external),
            ),
        };
        format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{kind}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        )
    }

    /// Reads the answer to this request; `None` if it is none.
    #[must_use]
    pub fn parse(self, xml: &[u8]) -> Option<Response> {
        let (mut error, mut address, mut done) = (None, None, false);
        let wanted = format!("{}Response", self.name());
        leaves(xml, |name, text| match name {
            "errorCode" => error = text.parse().ok(),
            "NewExternalIPAddress" | "NewInternalClient" => address = Some(text.to_owned()),
            name if name == wanted => done = true,
            _ => {}
        })?;
        match (error, self, done) {
            (Some(code), ..) => Some(Response::Error(code)),
            (None, Self::Address | Self::Owner { .. }, true) => address.map(Response::Address),
            (None, _, done) => done.then_some(Response::Done),
        }
    }
}

/// Gives the name of each element at its end, with the text right before that; `None` if the bytes
/// are no XML. Entities that a document defines are not replaced, so that it cannot grow.
fn leaves(xml: &[u8], mut each: impl FnMut(&str, &str)) -> Option<()> {
    let mut reader = Reader::from_reader(xml);
    let mut text = String::new();
    let mut any = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(_) => text.clear(),
            Event::Text(part) => text.push_str(&part.xml10_content().ok()?),
            Event::CData(part) => text.push_str(&part.xml10_content().ok()?),
            Event::GeneralRef(part) => match part.resolve_char_ref().ok()? {
                Some(sign) => text.push(sign),
                None => text.push_str(quick_xml::escape::resolve_predefined_entity(
                    &part.decode().ok()?,
                )?),
            },
            Event::End(end) => {
                any = true;
                each(
                    std::str::from_utf8(end.local_name().as_ref()).ok()?,
                    text.trim(),
                );
                text.clear();
            }
            Event::Empty(empty) => {
                any = true;
                each(std::str::from_utf8(empty.local_name().as_ref()).ok()?, "");
            }
            Event::Eof => return any.then_some(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = TYPES[1];

    #[test]
    fn a_description_names_the_services_that_map_ports() {
        let service = |kind: &str, control: &str| {
            format!(
                "<service><serviceType>{kind}</serviceType><controlURL>\n {control} </controlURL>\
                 <SCPDURL>/x.xml</SCPDURL></service>"
            )
        };
        let xml = format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
             <!-- a router --><serviceList>{}{}</serviceList><deviceList><device><serviceList>{}\
             </serviceList></device></deviceList></device></root>",
            service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3"),
            service(TYPES[0], "/ctl?a=1&amp;b=2"),
            service(TYPES[2], "/ppp").repeat(9),
        );
        let read = describe(xml.as_bytes()).unwrap();
        assert_eq!(read.base, None);
        assert_eq!(read.services.len(), MOST_SERVICES);
        assert_eq!(read.services[0].kind, TYPES[0]);
        assert_eq!(read.services[0].control, "/ctl?a=1&b=2");
        let based = xml.replace(
            "<device><!--",
            "<URLBase>http://192.168.1.1/</URLBase><device><!--",
        );
        let base = describe(based.as_bytes()).unwrap().base;
        assert_eq!(base.as_deref(), Some("http://192.168.1.1/"));
    }

    #[test]
    fn what_is_no_xml_is_not_read() {
        for xml in [
            "",
            "text",
            "<root>",
            "<a></b>",
            "<root><service>",
            "<!DOCTYPE a [<!ENTITY b \"x\">]><root>&b;</root>",
            "<root>&#xFFFFFFFF;</root>",
        ] {
            assert_eq!(describe(xml.as_bytes()), None, "{xml}");
        }
    }

    #[test]
    fn requests_say_what_is_asked() {
        let map = Action::Map {
            protocol: Protocol::Tcp,
            external: 6891,
            client: Ipv4Addr::new(192, 168, 1, 5),
            internal: 1863,
            lifetime: 120,
        };
        let header = map.header(KIND);
        assert_eq!(header, format!("\"{KIND}#AddPortMapping\""));
        let body = map.body(KIND);
        for part in [
            "<NewExternalPort>6891</NewExternalPort><NewProtocol>TCP</NewProtocol>",
            "<NewInternalClient>192.168.1.5</NewInternalClient>",
            "<NewLeaseDuration>120</NewLeaseDuration>",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert!(leaves(body.as_bytes(), |_, _| {}).is_some());
    }

    #[test]
    fn answers_are_read() {
        let envelope = |inner: &str| {
            format!("<s:Envelope xmlns:s=\"x\"><s:Body>{inner}</s:Body></s:Envelope>").into_bytes()
        };
        let address = |ip: &str| {
            let name = "u:GetExternalIPAddressResponse";
            envelope(&format!(
                "<{name} xmlns:u=\"{KIND}\"><NewExternalIPAddress>{ip}</NewExternalIPAddress></{name}>"
            ))
        };
        let read = |xml: &[u8]| Action::Address.parse(xml);
        let seen = |ip: &str| Some(Response::Address(ip.to_owned()));
        assert_eq!(read(&address("203.0.113.7")), seen("203.0.113.7"));
        assert_eq!(read(&address("")), seen(""));
        let fault = envelope(
            "<s:Fault><detail><UPnPError><errorCode>501</errorCode></UPnPError></detail></s:Fault>",
        );
        assert_eq!(read(&fault), Some(Response::Error(501)));
        let unmap = Action::Unmap {
            protocol: Protocol::Udp,
            external: 6891,
        };
        let done = envelope("<u:DeletePortMappingResponse xmlns:u=\"y\"/>");
        assert_eq!(unmap.parse(&done), Some(Response::Done));
        assert_eq!(read(&done), None);
        assert_eq!(unmap.parse(&address("203.0.113.7")), None);
        assert_eq!(read(b"<html></html>"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, text in "[<>/a!\\[\\]&;\"?-]{0,80}") {
            for xml in [bytes.as_slice(), text.as_bytes()] {
                let _ = describe(xml);
                let _ = Action::Address.parse(xml);
            }
        }
    }
}
