//! The scenarios of the classification, `tests/scenarios/classify.toml`.

use std::net::SocketAddr;

use serde::Deserialize;

/// What the local socket and the profile say, and the verdict that is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    pub local: SocketAddr,
    pub client_ip: Option<String>,
    pub client_port: Option<String>,
    pub order: String,
    pub path: String,
    pub ip: String,
    pub port: String,
    pub label: String,
}

/// All scenarios.
pub fn classify() -> Vec<Scenario> {
    #[derive(Deserialize)]
    struct File {
        case: Vec<Scenario>,
    }
    let text = include_str!("../../scenarios/classify.toml");
    let scenarios = toml::from_str::<File>(text).expect("valid TOML").case;
    assert!(!scenarios.is_empty(), "there are no scenarios");
    scenarios
}
