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
            order: case.order.parse().unwrap(),
            path: case.path.parse().unwrap(),
            ..Observation::new(
                case.local,
                case.client_ip.as_deref(),
                case.client_port.as_deref(),
            )
        });
        let (ip, port) = (verdict.comparison.ip, verdict.comparison.port);
        let got = serde_json::json!([ip, port, verdict.label]);
        let want = serde_json::json!([case.ip, case.port, case.label]);
        if got != want {
            wrong.push(format!("{}: got {got}, want {want}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
