//! The whole of it without a socket: decoder and login by themselves, the header parsers, every
//! prefix and every other byte at every place.

use msnp9_conntype::address::Address;
use msnp9_conntype::msnp::passport::{AuthenticationInfo, authentication_info, login_url};
use msnp9_conntype::msnp::{Decoder, Login, LoginStage, Options, Outgoing, Profile, Side, Step};
use msnp9_conntype::secret::{ExposeSecret, SecretString};
use msnp9_conntype::transport::Url;

use super::online::{MARKS, record};
use super::transcript::{Change, Recorded, To, answer_of};
use super::{Checked, run};
use support::answer::{Answer, Step as At, Then};

/// What else may come between sign-in and profile, a payload that no table has included.
const BETWEEN: &[u8] = b"SBS 0 null\r\nCHL 0 15570131571988941333\r\nUBX a@b.c 5\r\n<x/>\n\
    XYZ 0 29\r\n<a>\r\n<b>OUT of order</b>\r\n</a>\r\nNLN NLN a@b.c Zo\xc3\xab 0\r\n\
    MSG Hotmail Hotmail 48\r\nContent-Type: text/x-msmsgsemailnotification\r\n\r\n";

const THREADS: usize = 2;

const TICKET: &str = "t=ticket&p=profile";

/// How the login ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Profile(Profile),
    /// It would go on at another connection.
    Moved,
    Failed,
}

/// A login, the profile it ends with, and the part of it that is changed.
struct Transcript {
    answers: Recorded,
    from: usize,
}

#[test]
fn the_parsers_withstand_changed_logins() {
    with_changes("without a socket", |byte, honest| {
        (byte ^ honest).count_ones() == 1 || MARKS.contains(&byte)
    });
}

#[test]
#[ignore = "takes half a minute: the gate runs it"]
fn the_parsers_withstand_every_other_byte() {
    with_changes("without a socket, with every byte", |_, _| true);
}

/// Runs every prefix, and every other byte that is `wanted` at every place, given what is there.
fn with_changes(what: &str, wanted: fn(u8, u8) -> bool) {
    let recorded = record();
    let plain = [At::Ver, At::Cvr, At::UsrI, At::UsrS, At::UsrOk, At::Profile]
        .map(|step| (step, answer_of(&recorded, step).clone()))
        .to_vec();
    let end = drive(&wire(&plain), 4096).expect("an honest login");
    let End::Profile(honest) = end else {
        panic!("an honest login ends with {end:?}");
    };
    let to = "192.0.2.1:1863".parse().expect("an address");
    let mut referred = plain[..2].to_vec();
    referred.push((At::Xfr, Answer::referral("3", to, to)));
    assert_eq!(drive(&wire(&referred), 4096), Ok(End::Moved));
    let mut crowded = plain.clone();
    crowded[4].1.bytes.extend(BETWEEN);
    assert_eq!(
        drive(&wire(&crowded), 4096),
        Ok(End::Profile(honest.clone()))
    );

    let transcripts = [(plain, 0), (referred, 2), (crowded, 4)]
        .map(|(answers, from)| Transcript { answers, from });
    let cases: Vec<_> = transcripts
        .iter()
        .flat_map(|transcript| {
            let changes = changes(&transcript.answers[transcript.from..], wanted);
            changes.into_iter().map(move |change| (transcript, change))
        })
        .collect();
    run(what, THREADS, &cases, |(transcript, change)| {
        check(*change, &transcript.answers, &recorded, &honest)
    });
}

#[test]
fn the_headers_of_passport_withstand_every_other_byte() {
    let recorded = record();
    let cases: Vec<_> = [At::Nexus, At::Login]
        .iter()
        .flat_map(|step| {
            let value = header(answer_of(&recorded, *step));
            let places = (0..value.len()).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte)));
            places.map(move |(at, byte)| {
                let mut bytes = value.clone().into_bytes();
                bytes[at] = byte;
                String::from_utf8_lossy(&bytes).into_owned()
            })
        })
        .collect();
    run("in a header of Passport", THREADS, &cases, |value| {
        if let Some(Ok(url)) = login_url(value).map(|url| url.parse::<Url>())
            && (url.to_string().contains(char::is_control) || url.address.port == 0)
        {
            return Err(format!("{value:?} leads to {url:?}"));
        }
        if let AuthenticationInfo::Ticket(ticket) = authentication_info(value)
            && !ticket.expose_secret().bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(format!("{value:?} has a ticket that is not one word"));
        }
        Ok(())
    });
}

/// The header that a page of Passport is about.
fn header(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.bytes);
    let line = text
        .lines()
        .find(|line| line.starts_with("PassportURLs") || line.starts_with("Authentication"));
    let header = line.and_then(|line| line.split_once(": "));
    header.expect("a header").1.to_owned()
}

fn wire(transcript: &[(At, Answer)]) -> Vec<u8> {
    let answers = transcript.iter().map(|(_, answer)| answer.bytes.as_slice());
    answers.collect::<Vec<_>>().concat()
}

fn changes(answers: &[(At, Answer)], wanted: fn(u8, u8) -> bool) -> Vec<Change> {
    let mut changes = Vec::new();
    for (step, answer) in answers {
        for (at, honest) in answer.bytes.iter().enumerate() {
            let (step, end) = (*step, To::End(Then::Close));
            changes.push(Change { step, at, to: end });
            let others = (0..=u8::MAX).filter(|byte| byte != honest && wanted(*byte, *honest));
            changes.extend(others.map(|byte| Change {
                step,
                at,
                to: To::Byte(byte),
            }));
        }
    }
    changes
}

fn check(change: Change, answers: &Recorded, recorded: &Recorded, honest: &Profile) -> Checked {
    let mut bytes = Vec::new();
    for (step, answer) in answers {
        let made = change.apply(*step, answer.clone());
        bytes.extend(made.bytes);
        if *step == change.step && matches!(change.to, To::End(_)) {
            break;
        }
    }
    // How the bytes are cut on their way makes no difference.
    let whole = drive(&bytes, bytes.len().max(1));
    let pieces = drive(&bytes, 1 + change.at % 7);
    if whole != pieces {
        return Err(format!("{change}: {whole:?} at once, {pieces:?} in pieces"));
    }
    match whole {
        Ok(End::Profile(profile))
            if !says_no_more(&profile, honest) && !change.is_testimony(recorded) =>
        {
            Err(format!("{change}: another profile, {profile:?}"))
        }
        Ok(_) => Ok(()),
        Err(why) => Err(format!("{change}: {why}")),
    }
}

/// Whether a profile says nothing that the honest one does not say. One that an empty line cuts says
/// less.
fn says_no_more(profile: &Profile, honest: &Profile) -> bool {
    let says = |one: &Option<String>, all: &Option<String>| one.is_none() || one == all;
    says(&profile.client_ip, &honest.client_ip) && says(&profile.client_port, &honest.client_port)
}

/// Feeds the bytes to a login, in pieces of that size, as the driver does; the connection ends
/// after them.
fn drive(bytes: &[u8], size: usize) -> Result<End, String> {
    let at = Address::parse("ns.example", 1863).map_err(|why| why.to_string())?;
    let mut login = Login::new(Options {
        account: "user@example.com".parse().expect("an account"),
        dialects: Vec::new(),
        lockstep: false,
    });
    let mut decoder = Decoder::new(Side::Server);
    proper(&login.connected(&at))?;
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            let step = match decoder.decode() {
                Ok(Some(command)) => login.receive(&command),
                Ok(None) => break,
                Err(_) => return Ok(End::Failed),
            };
            match step {
                Ok(Step::Wait) => {}
                Ok(Step::Send(out)) => proper(&out)?,
                Ok(Step::NeedTicket(_)) => proper(&login.ticket(&SecretString::from(TICKET)))?,
                Ok(Step::Refer(referral)) => {
                    let host = referral.host.chars();
                    if referral.port == 0 || host.clone().any(|c| c.is_control() || c == ' ') {
                        return Err(format!("referred to {:?}", referral));
                    }
                    return Ok(End::Moved);
                }
                Ok(Step::Reconnect(_)) => return Ok(End::Moved),
                Ok(Step::Profile(profile)) => return Ok(End::Profile(profile)),
                Err(_) => return Ok(End::Failed),
            }
            if login.stage() == LoginStage::Profile {
                decoder.resynchronise();
            }
        }
    }
    while let Some(out) = login.request_profile() {
        proper(&out)?;
    }
    Ok(match login.closed(decoder.is_midway()) {
        Ok(_) => End::Moved,
        Err(_) => End::Failed,
    })
}

/// Whatever a server sends, the client sends only these commands, whole.
fn proper(out: &Outgoing) -> Result<(), String> {
    let text = String::from_utf8_lossy(out.bytes());
    let names: Vec<_> = out.names().split(' ').collect();
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    let known = ["VER", "CVR", "USR", "SYN", "CHG", "QRY", "OUT"];
    let fits = names.iter().zip(&lines).all(|(name, line)| {
        known.contains(name) && line.starts_with(name) && !line.contains(char::is_control)
    });
    let payload = usize::from(names.contains(&"QRY"));
    if fits && lines.len() == names.len() + payload {
        return Ok(());
    }
    Err(format!("{names:?} were sent as {text:?}"))
}
