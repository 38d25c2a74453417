//! The embedded server under abuse, with figures: `cargo bench --bench abuse`.
//!
//! Starts the built `serve` on loopback, does to it one thing after the other that no client
//! should do, and has honest clients log in meanwhile: each a full TLS handshake, a ticket, a
//! profile that is checked. Then each limit with a server of its own, and first logins
//! with hashed passwords, with and without others who guess. Needs Linux, and a limit of
//! open files that leaves room for both ends of the idle connections.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    match linux::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this bench needs /proc");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, ExitCode};
    use std::time::Instant;

    use support::Outcome;
    use support::abuse::{self, Scale};
    use support::vitals::max_open_files;

    const SCALE: Scale = Scale {
        idle: 5000,
        mute: 5000,
        slow: 1000,
        endless: 1000,
        garbage: 1_000_000,
        churn: 10_000,
        half: 2000,
        junk: 2000,
        wrong: 10_000,
        beyond: 300,
        rate: 20,
        logins: 40,
    };

    /// Both this process and the server have one end of every connection.
    const FILES: u64 = 6000;

    /// Set for the process that runs with a raised limit.
    const RAISED: &str = "ABUSE_BENCH_RAISED";

    pub(super) fn run() -> Outcome<ExitCode> {
        let files = max_open_files()?;
        if files < FILES {
            if std::env::var_os(RAISED).is_some() {
                return Err(format!("{FILES} open files are needed, and {files} allowed").into());
            }
            // A process can only raise its own limit; the shell has a command for it.
            let script = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
            let error = Command::new("sh")
                .args(["-c", &script])
                .arg(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .env(RAISED, "1")
                .exec();
            return Err(error.into());
        }
        let began = Instant::now();
        let report = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(abuse::run(SCALE))?;
        println!("{report} in {:.0} s", began.elapsed().as_secs_f64());
        Ok(if report.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
