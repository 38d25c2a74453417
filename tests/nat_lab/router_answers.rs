//! What a scripted router answers: NAT-PMP, and the pages of UPnP.

/// The answers of NAT-PMP; where it does not close, the end of a mapping has none.
pub(crate) fn nat_pmp(asked: &[u8], address: [u8; 4], closes: bool) -> Vec<Vec<u8>> {
    let answer = |operation: u8, rest: &[u8]| {
        let head = [0, 128 + operation, 0, 0, 0, 0, 0, 1];
        vec![[head.as_slice(), rest].concat()]
    };
    match *asked {
        [0, 0] => answer(0, &address),
        [0, of @ 1..=2, _, _, a, b, _, _, .., last] if closes || last > 0 => {
            answer(of, &[a, b, 200, b, 0, 0, 0, last])
        }
        _ => Vec::new(),
    }
}

pub(crate) fn page(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn described(control: &str) -> String {
    page(&format!(
        "<root><device><serviceList><service>\
         <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    ))
}

pub(crate) fn told(address: &str) -> String {
    page(&format!(
        "<Envelope><Body><GetExternalIPAddressResponse><NewExternalIPAddress>{address}\
         </NewExternalIPAddress></GetExternalIPAddressResponse></Body></Envelope>"
    ))
}

pub(crate) fn between<'a>(request: &'a str, name: &str) -> &'a str {
    let (_, rest) = request.split_once(&format!("<{name}>")).unwrap_or_default();
    rest.split_once('<').map_or("", |(value, _)| value)
}

/// Whether the outside port of a request is one that the client's sockets have: these are taken.
pub(crate) fn is_taken(port: &str) -> bool {
    port.parse().is_ok_and(|port: u16| port < 49152)
}

/// The pages of a router that has these ports mapped already, to this host or to another one; it tells
/// the owner, or refuses to map them.
pub(crate) fn maps(request: &str, to_this_host: bool) -> (String, bool) {
    let is = |action: &str| request.contains(&format!("#{action}\""));
    let is_taken = is_taken(between(request, "NewExternalPort"));
    let error = |code| {
        page(&format!(
            "<Envelope><Fault><errorCode>{code}</errorCode></Fault></Envelope>"
        ))
    };
    let answer = match request.starts_with("POST") {
        false => described("/ctl"),
        true if is("GetExternalIPAddress") => told("203.0.113.7"),
        true if is("GetSpecificPortMappingEntry") && is_taken && to_this_host => page(
            "<GetSpecificPortMappingEntryResponse><NewInternalClient>192.168.1.5</NewInternalClient>\
             </GetSpecificPortMappingEntryResponse>",
        ),
        true if is("AddPortMapping") && is_taken && !to_this_host => error(718),
        true if is("AddPortMapping") => page("<AddPortMappingResponse/>"),
        // Nothing is there, as after a request that was sent twice.
        true => error(714),
    };
    (answer, false)
}
