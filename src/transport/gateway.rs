//! The router that leads beyond the link.

use std::net::Ipv4Addr;

/// Where Linux lists the routes of IPv4.
const ROUTES: &str = "/proc/net/route";

/// The router of the default route; `None` where there is none, or where the system does not list its
/// routes.
pub(crate) fn gateway() -> Option<Ipv4Addr> {
    default_route(&std::fs::read_to_string(ROUTES).ok()?)
}

/// The gateway of the default route with the least metric, if that has one.
fn default_route(table: &str) -> Option<Ipv4Addr> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut address = || u32::from_str_radix(fields.next()?, 16).ok();
        let (to, gateway, flags) = (address()?, address()?, address()?);
        let mut fields = fields.skip(2);
        let metric: u32 = fields.next()?.parse().ok()?;
        let mask = u32::from_str_radix(fields.next()?, 16).ok()?;
        let is_default = to == 0 && mask == 0 && flags & 1 != 0;
        // The numbers are in the byte order of the network.
        is_default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    let (_, gateway) = routes.min_by_key(|(metric, _)| *metric)?;
    // A tunnel has none: its other end is no router of this link.
    (!gateway.is_unspecified()).then_some(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_least_metric_counts() {
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let line = |to: [u8; 4], gateway: [u8; 4], flags: &str, metric: u32, mask: [u8; 4]| {
            let (to, gateway, mask) = (hex(to), hex(gateway), hex(mask));
            format!("eth0\t{to}\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let one = line([0; 4], [192, 168, 1, 1], "0003", 100, [0; 4]);
        let two = line([0; 4], [192, 168, 2, 1], "0003", 50, [0; 4]);
        let down = line([0; 4], [192, 168, 3, 1], "0002", 1, [0; 4]);
        let link = line([10, 0, 0, 0], [0; 4], "0001", 1, [255, 0, 0, 0]);
        let half = line([0; 4], [10, 8, 0, 1], "0003", 0, [128, 0, 0, 0]);
        let tunnel = line([0; 4], [0; 4], "0001", 0, [0; 4]);
        let ip = |last| Some(Ipv4Addr::new(192, 168, last, 1));
        for (table, want) in [
            (format!("{head}{link}{one}"), ip(1)),
            (format!("{head}{one}{two}{down}{half}"), ip(2)),
            (format!("{head}{link}{down}{half}"), None),
            (format!("{head}{one}{tunnel}{two}"), None),
            (format!("{head}eth0\tnonsense\n\n"), None),
            (String::new(), None),
        ] {
            assert_eq!(default_route(&table), want, "{table}");
        }
    }
}
