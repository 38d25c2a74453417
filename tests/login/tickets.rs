//! Tickets that are used again, by further logins of one run.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::answer::{Answer, Reply, Step};
use support::fake_servers::{FakeServers, Route};
use support::intermediary::Intermediary;
use support::{Run, Scripted, Serve, honest, observations, profile_message, tool};

/// The commands of each write before the profile, for each connection.
type Writes = Arc<Mutex<Vec<Vec<String>>>>;

/// A notification server that notes what it gets, and answers each line with what `answer` makes of
/// the connection's number, the line, and the number of lines in its write; `None` closes.
fn noting(
    ip: [u8; 4],
    answer: impl Fn(usize, &str, usize) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Scripted, Writes) {
    let writes = Writes::default();
    let noted = Arc::clone(&writes);
    let server = Scripted::start_at(ip, move |stream, number| {
        noted.lock().unwrap().push(Vec::new());
        let mut bytes = [0; 4096];
        while let Ok(got @ 1..) = stream.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..got]);
            let lines: Vec<_> = text.lines().collect();
            // The tool does not wait until that is read.
            if lines == ["OUT"] {
                return;
            }
            noted.lock().unwrap()[number].push(names(&lines));
            for line in &lines {
                let Some(answer) = answer(number, line, lines.len()) else {
                    return;
                };
                let _ = stream.write_all(&answer);
            }
        }
    });
    (server, writes)
}

/// The commands of a write, `S` and the ticket in the place of those with a ticket.
fn names(lines: &[&str]) -> String {
    let names = lines.iter().map(|line| match line.split_once(" TWN S ") {
        Some((_, ticket)) => format!("S({ticket})"),
        None => line.get(..3).unwrap_or_default().to_owned(),
    });
    names.collect::<Vec<_>>().join(" ")
}

fn sees(line: &str) -> Vec<u8> {
    honest(line, &profile_message("203.0.113.7", "40000"))
}

/// A login page that hands out `t=1`, `t=2` and so on.
fn page() -> (Scripted, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let page = Scripted::start(move |stream, _| {
        let mut bytes = [0; 8192];
        while let Ok(1..) = stream.read(&mut bytes) {
            let number = counting.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nAuthentication-Info: Passport1.4 da-status=success,\
                 from-PP='t={number}'\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (page, count)
}

/// Logs in with further options; the document, the number of tickets that were issued, and what was
/// printed to stderr.
fn run(server: &Scripted, options: &[&str]) -> (Value, usize, String) {
    let (page, count) = page();
    let mut command = tool();
    command
        .args(["--json", "--insecure-http", "--user", "user@example.com"])
        .args(["--server", &server.address.to_string()])
        .args(["--login-url", &format!("http://{}/", page.address)])
        .args(options)
        .env("MSNP9_PASSWORD", "secret");
    let run = Run::of(&mut command);
    let json = run.json();
    for seen in observations(&json) {
        assert_eq!(seen["error"], json!(null), "{json:#}\n{}", run.stderr);
    }
    let sent_to = json!([page.address.to_string()]);
    assert_eq!(json["credentials_sent_to"], sent_to);
    (json, count.load(Ordering::SeqCst), run.stderr)
}

fn steps(json: &Value, observation: usize) -> Vec<String> {
    let steps = json["timings_ms"].as_array().unwrap().iter();
    let own = steps.filter(|step| step["observation"] == observation);
    let word = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    own.map(|step| format!("{} {}", word(step, "connection"), word(step, "stage")))
        .collect()
}

const USUAL: [&str; 2] = ["VER CVR USR", "S(t=1)"];
const AHEAD: [&str; 1] = ["VER CVR USR S(t=1)"];

fn with_ticket(number: usize) -> Vec<String> {
    let ticket = format!("S(t={number})");
    USUAL.map(|write| write.replace("S(t=1)", &ticket)).to_vec()
}

#[test]
fn further_logins_to_serve_need_no_passport() {
    let served = Serve::start(&["-vv"]);
    let run = Run::of(served.tool().args(["--json", "--repeat", "3"]));
    let json = run.json();
    assert_eq!(json["label"], "Direct-Connect", "{json:#}");
    assert_eq!(observations(&json).len(), 3);
    for further in [1, 2] {
        assert_eq!(
            steps(&json, further),
            [
                "notification connect",
                "notification negotiate",
                "notification sign-in",
                "notification profile",
                "notification profile"
            ]
        );
    }
    assert_eq!(json["dialect"], "MSNP9");
    let log = served.stop().stderr;
    assert_eq!(log.matches("login2.srf").count(), 1, "{log}");
}

#[test]
fn a_kept_ticket_goes_out_with_the_first_commands() {
    let (server, writes) = noting([127, 0, 0, 1], |_, line, _| Some(sees(line)));
    let (_, tickets, _) = run(&server, &["--repeat", "3"]);
    assert_eq!(tickets, 1);
    let expected = [&USUAL[..], &AHEAD, &AHEAD];
    assert_eq!(*writes.lock().unwrap(), expected);
}

#[test]
fn in_lockstep_a_kept_ticket_waits_for_its_turn() {
    let (server, writes) = noting([127, 0, 0, 1], |_, line, _| Some(sees(line)));
    let (_, tickets, _) = run(&server, &["--repeat", "2", "--lockstep"]);
    assert_eq!(tickets, 1);
    let usual = ["VER", "CVR", "USR", "S(t=1)"];
    assert_eq!(*writes.lock().unwrap(), [usual, usual]);
}

#[test]
fn a_server_that_wants_one_command_at_a_time_gets_no_ticket_ahead() {
    let (server, writes) = noting([127, 0, 0, 1], |_, line, lines| match lines {
        1 => Some(sees(line)),
        _ => Some(b"715 1\r\n".to_vec()),
    });
    let (_, tickets, _) = run(&server, &["--repeat", "2"]);
    assert_eq!(tickets, 1);
    let refused = ["VER CVR USR"];
    let usual = ["VER", "CVR", "USR", "S(t=1)"];
    let expected = [&refused[..], &usual, &refused, &usual];
    assert_eq!(*writes.lock().unwrap(), expected);
}

#[test]
fn a_server_of_later_dialects_is_offered_them_with_the_ticket() {
    let (server, writes) = noting([127, 0, 0, 1], |_, line, _| {
        let answer = match line.starts_with("VER") && !line.contains("MSNP12") {
            true => b"VER 1 0\r\n".to_vec(),
            false => sees(line),
        };
        Some(
            String::from_utf8(answer)
                .unwrap()
                .replace("MSNP9", "MSNP12")
                .into(),
        )
    });
    let (_, tickets, _) = run(&server, &["--repeat", "2"]);
    assert_eq!(tickets, 1);
    let expected = [&USUAL[..1], &USUAL, &AHEAD];
    assert_eq!(*writes.lock().unwrap(), expected);
}

#[test]
fn a_server_that_takes_no_ticket_ahead_is_asked_the_usual_way_and_not_tried_again() {
    type Refusal = fn(&str) -> Option<Vec<u8>>;
    let refusals: [(&str, Refusal); 7] = [
        ("911", |line| answer_to_ticket(line, "911 4\r\n")),
        ("928", |line| answer_to_ticket(line, "928 4\r\n")),
        ("500", |line| answer_to_ticket(line, "500 4\r\n")),
        ("another answer", |line| {
            answer_to_ticket(line, "USR 4 NO\r\n")
        }),
        ("no MSNP", |_| {
            Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
        }),
        ("no dialect", |_| Some(b"VER 1 0\r\n".to_vec())),
        ("hanging up", |_| None),
    ];
    for (name, refusal) in refusals {
        let (server, writes) = noting([127, 0, 0, 1], move |_, line, lines| match lines {
            4.. => refusal(&line.replace("VER 4", "VER 1")),
            _ => Some(sees(line)),
        });
        let (_, tickets, stderr) = run(&server, &["--repeat", "3", "-vvv"]);
        assert_eq!(tickets, 3, "{name}: {stderr}");
        assert!(!stderr.contains("t=1"), "{name}: {stderr}");
        let writes = writes.lock().unwrap();
        assert_eq!(writes[0], USUAL, "{name}");
        assert_eq!(writes[1], AHEAD, "{name}");
        assert_eq!(writes[2..], [with_ticket(2), with_ticket(3)], "{name}");
    }
}

fn answer_to_ticket(line: &str, answer: &str) -> Option<Vec<u8>> {
    match line.contains(" TWN S ") {
        true => Some(answer.into()),
        false => Some(sees(line)),
    }
}

#[test]
fn a_server_that_falls_silent_at_a_ticket_ahead_is_asked_the_usual_way() {
    let (server, writes) = noting([127, 0, 0, 1], move |_, line, lines| {
        Some(if lines > 3 { Vec::new() } else { sees(line) })
    });
    let (_, tickets, _) = run(&server, &["--repeat", "3", "--timeout", "2"]);
    assert_eq!(tickets, 3);
    let writes = writes.lock().unwrap();
    assert_eq!(writes[2..], [with_ticket(2), with_ticket(3)]);
}

#[test]
fn an_expired_ticket_is_replaced_and_the_new_one_goes_ahead() {
    // The ticket is good for two logins.
    let (server, writes) = noting([127, 0, 0, 1], |number, line, _| {
        match number == 2 && line.ends_with("t=1") {
            true => Some(b"911 4\r\n".to_vec()),
            false => Some(sees(line)),
        }
    });
    let (_, tickets, _) = run(&server, &["--repeat", "4"]);
    assert_eq!(tickets, 2);
    let writes = writes.lock().unwrap();
    assert_eq!(writes[1], AHEAD);
    assert_eq!(writes[2], AHEAD);
    assert_eq!(writes[3], with_ticket(2));
    assert_eq!(writes[4], ["VER CVR USR S(t=2)"]);
}

#[test]
fn a_second_server_gets_the_ticket_of_the_same_passport_when_it_asks() {
    let (first, _) = noting([127, 0, 0, 1], |_, line, _| Some(sees(line)));
    let (second, writes) = noting([127, 0, 0, 2], |_, line, _| Some(sees(line)));
    let address = second.address.to_string();
    let (json, tickets, _) = run(&first, &["--second-server", &address]);
    assert_eq!(tickets, 1);
    assert_eq!(*writes.lock().unwrap(), [with_ticket(1)]);
    assert_eq!(json["label"], "Unknown-NAT", "{json:#}");

    // One that does not take it gets another.
    let (second, writes) = noting([127, 0, 0, 2], |_, line, _| match line.ends_with("t=1") {
        true => Some(b"911 4\r\n".to_vec()),
        false => Some(sees(line)),
    });
    let address = second.address.to_string();
    let (json, tickets, _) = run(&first, &["--second-server", &address]);
    assert_eq!(tickets, 2);
    assert_eq!(writes.lock().unwrap()[0], USUAL);
    assert_eq!(writes.lock().unwrap()[1], with_ticket(2));
    assert_eq!(json["label"], "Unknown-NAT", "{json:#}");
}

#[test]
fn a_ticket_goes_ahead_to_the_server_referred_to_and_to_no_other() {
    let (first, at_first) = noting([127, 0, 0, 1], |_, line, _| Some(sees(line)));
    let (other, at_other) = noting([127, 0, 0, 2], |_, line, _| Some(sees(line)));
    let to = [first.address, first.address, other.address];
    let (dispatch, at_dispatch) = noting([127, 0, 0, 1], move |number, line, _| {
        let to = to[number];
        Some(match line.split_once(" TWN I ") {
            Some((command, _)) => format!("{} NS {to}\r\n", command.replace("USR", "XFR")).into(),
            None => sees(line),
        })
    });
    let (_, tickets, _) = run(&dispatch, &["--repeat", "3"]);
    assert_eq!(tickets, 1);
    assert_eq!(*at_dispatch.lock().unwrap(), [["VER CVR USR"]; 3]);
    let expected = [&USUAL[..], &AHEAD];
    assert_eq!(*at_first.lock().unwrap(), expected);
    assert_eq!(*at_other.lock().unwrap(), [USUAL]);
}

/// The answers of a gateway and of Passport during two logins, where a gateway answers a ticket that
/// comes ahead with what `tamper` makes of it.
fn through_a_gateway(tamper: fn(Answer) -> Reply) -> Vec<Step> {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&steps);
    let route = Route {
        intermediary: Some(Intermediary::Gateway),
        ..Route::over(None)
    };
    let servers = FakeServers::start(route, move |step, answer| {
        let mut noted = noted.lock().unwrap();
        let is_ahead = step == Step::GatewayProfile && noted.last() != Some(&Step::Login);
        if step != Step::GatewayPoll {
            noted.push(step);
        }
        if is_ahead {
            return tamper(answer);
        }
        Reply::new(answer.bytes)
    });
    let [option, gateway] = servers.intermediary.clone().unwrap();
    let mut command = tool();
    command
        .args(["--json", "--insecure-http", "--user", "user@example.com"])
        .args(["--server", &servers.server.to_string(), &option, &gateway])
        .args(["--login-url", &servers.login, "--repeat", "2"])
        .env("MSNP9_PASSWORD", "secret");
    let json = Run::of(&mut command).json();
    assert_eq!(observations(&json)[1]["error"], json!(null), "{json:#}");
    drop(servers);
    let steps = steps.lock().unwrap();
    steps.clone()
}

#[test]
fn through_a_gateway_all_goes_out_in_one_request() {
    let usual = [Step::GatewayOpen, Step::Login, Step::GatewayProfile];
    let ahead = [Step::GatewayProfile];
    let steps = through_a_gateway(|answer| Reply::new(answer.bytes));
    assert_eq!(steps, [&usual[..], &ahead].concat());
    let steps = through_a_gateway(|_| {
        Reply::new(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    assert_eq!(steps, [&usual[..], &ahead, &usual].concat());
}
