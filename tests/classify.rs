//! The rules of the verdict, as data: `tests/scenarios/classify.toml`.

use msnp9_conntype::conntype::{Observation, classify};

#[derive(serde::Deserialize)]
struct Scenarios {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    local: std::net::SocketAddr,
    client_ip: Option<String>,
    client_port: Option<String>,
    order: String,
    path: String,
    ip: String,
    port: String,
    label: String,
}

#[test]
fn every_scenario_gets_its_label() {
    let scenarios: Scenarios = toml::from_str(include_str!("scenarios/classify.toml")).unwrap();
    assert!(scenarios.case.len() >= 55, "the scenarios are all there");
    let mut wrong = Vec::new();
    for case in &scenarios.case {
        let verdict = classify(&Observation {
            local: case.local,
            client_ip: case.client_ip.clone(),
            client_port: case.client_port.clone(),
            order: case.order.parse().unwrap(),
            path: case.path.parse().unwrap(),
            proxy: None,
            peer: None,
        });
        let got = (
            verdict.comparison.ip.as_str(),
            verdict.comparison.port.as_str(),
            verdict.label.as_str(),
        );
        let want = (case.ip.as_str(), case.port.as_str(), case.label.as_str());
        if got != want {
            wrong.push(format!("{}: got {got:?}, want {want:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
