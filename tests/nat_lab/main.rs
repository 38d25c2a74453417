//! The connection types on real paths: network namespaces with real NATs, firewalls, lines and
//! proxies between the built binary and the built binary.
//!
//! `scripts/nat-lab` runs it and prints the table. A new path is a new [`Row`](table::Row) in one of
//! the files of `nat_lab/`; a new network is a function in `support::lab::topology`.

mod balancer;
mod captures;
mod ends;
mod exact_nat;
mod families;
mod firewalls;
mod gateways;
mod nat_kinds;
mod nats;
mod observations;
mod port_mapping;
mod proxies;
mod proxy_trouble;
mod reach;
mod router_answers;
mod run;
mod stun;
mod table;
mod udp;

mod self_guards;
mod self_nats;
mod self_networks;

use std::sync::{Mutex, MutexGuard, PoisonError};

use support::lab::{self, Error};
use table::Row;

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn every_path_has_its_connection_type() -> Result<(), Error> {
    let _alone = alone();
    lab::requirements()?;
    lab::proxies::requirements()?;
    lab::needs_program("tayga", "tayga")?;
    lab::needs_program("turnserver", "coturn")?;
    lab::needs_program("miniupnpd", "miniupnpd-nftables")?;
    lab::needs_program("tcpdump", "tcpdump")?;
    lab::needs_program("haproxy", "haproxy")?;
    let wanted = std::env::var("NAT_LAB_ROWS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.lines().filter(|words| !words.is_empty()).collect();
    let is_wanted =
        |row: &&Row| wanted.is_empty() || wanted.iter().any(|words| row.path.contains(words));
    let asked: Vec<&Row> = rows().filter(is_wanted).collect();
    table::run(&asked, std::env::var_os("NAT_LAB_SHOW").is_some())?;
    if std::env::var_os("NAT_LAB_WRITE").is_some() {
        std::fs::write(PAGE, table::page(rows(), nat_kinds::ROWS))?;
    }
    Ok(())
}

#[test]
fn the_page_has_every_path() -> Result<(), Error> {
    let written = std::fs::read_to_string(PAGE)?;
    assert!(
        written == table::page(rows(), nat_kinds::ROWS),
        "{PAGE} is not up to date: scripts/nat-lab --write"
    );
    Ok(())
}

/// The table for readers, written by the lab itself.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/paths.md");

/// Every path there is.
fn rows() -> impl Iterator<Item = &'static Row> {
    [
        nats::ROWS,
        observations::ROWS,
        firewalls::ROWS,
        families::ROWS,
        proxies::ROWS,
        proxy_trouble::ROWS,
        gateways::ROWS,
        udp::ROWS,
        stun::ROWS,
        port_mapping::ROWS,
        reach::ROWS,
        captures::ROWS,
        balancer::ROWS,
        nat_kinds::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Lets the tests of this file run one after the other: some measure time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
