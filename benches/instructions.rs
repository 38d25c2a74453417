//! Instruction counts of the pure core: `cargo bench --bench instructions`.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of `Cargo.lock`. Counts are
//! the same on every run of one binary, whatever else the machine does.

#![allow(missing_docs, clippy::expect_used, reason = "a bench, and it may fail")]

mod stream;

use std::hint::black_box;
use std::net::SocketAddr;

use gungraun::{library_benchmark, library_benchmark_group, main};
use msnp9_conntype::address::Address;
use msnp9_conntype::conntype::{Observation, Verdict, classify};
use msnp9_conntype::msnp::{Decoder, Login, Options, Profile, Side, Step};
use msnp9_conntype::secret::SecretString;

const PROFILE: &str = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\n\
    LoginTime: 1700000000\r\nEmailEnabled: 0\r\nMemberIdHigh: 1\r\nMemberIdLow: 2\r\n\
    lang_preference: 1033\r\npreferredEmail: \r\ncountry: US\r\nPostalCode: \r\nGender: \r\n\
    Kid: 0\r\nAge: \r\nBDayPre: \r\nBirthday: \r\nWallet: \r\nFlags: 1027\r\nsid: 507\r\n\
    kv: 11\r\nMSPAuth: testticket$$\r\nClientIP: 203.0.113.7\r\nClientPort: 2308\r\n\r\n";

fn one_mebibyte() -> Vec<u8> {
    stream::mixed(1 << 20)
}

#[library_benchmark]
#[bench::whole(args = (1 << 20), setup = with_pieces)]
#[bench::socket(args = (4096), setup = with_pieces)]
#[bench::bytes(args = (1), setup = with_pieces)]
fn codec((bytes, piece): (Vec<u8>, usize)) -> usize {
    black_box(stream::decode(black_box(&bytes), piece))
}

fn with_pieces(piece: usize) -> (Vec<u8>, usize) {
    (one_mebibyte(), piece)
}

#[library_benchmark]
fn profile() -> Option<Profile> {
    black_box(Profile::parse(black_box(PROFILE.as_bytes())))
}

fn seen() -> Observation {
    let local = SocketAddr::from(([192, 168, 1, 5], 1033));
    Observation::new(local, Some("203.0.113.7"), Some("2308"))
}

#[library_benchmark]
#[bench::home_router(setup = seen)]
fn verdict(seen: Observation) -> Verdict {
    black_box(classify(black_box(&seen)))
}

/// A login and everything a server says in it.
fn canned() -> (Login, Address, String) {
    let login = Login::new(Options {
        account: "user@example.com".parse().expect("an account"),
        dialects: Vec::new(),
        lockstep: false,
    });
    let at = Address {
        host: "ns.example".to_owned(),
        port: 1863,
    };
    let said = format!(
        "VER 1 MSNP9 CVR0\r\nCVR 2 6.0.0602 6.0.0602 1.0.0000 http://a http://b\r\n\
         USR 3 TWN S lc=1033,id=507,tw=40,fs=1,ru=http%3A%2F%2Fm,ct=1,kpp=1,kv=5,ver=2,tpf=0\r\n\
         USR 4 OK user@example.com Name 1 0\r\nMSG Hotmail Hotmail {}\r\n{PROFILE}",
        PROFILE.len()
    );
    (login, at, said)
}

#[library_benchmark]
#[bench::pipelined(setup = canned)]
fn login((mut login, at, said): (Login, Address, String)) -> Option<Profile> {
    let mut decoder = Decoder::new(Side::Server);
    black_box(login.connected(&at));
    decoder.feed(said.as_bytes());
    while let Some(command) = decoder.decode().expect("well formed") {
        match login.receive(&command).expect("an honest server") {
            Step::NeedTicket(_) => {
                black_box(login.ticket(&SecretString::from("t=x&p=y")));
            }
            Step::Profile(profile) => return Some(black_box(profile)),
            _ => {}
        }
    }
    None
}

library_benchmark_group!(name = core; benchmarks = codec, profile, verdict, login);

main!(library_benchmark_groups = core);
