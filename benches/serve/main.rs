//! What `serve` carries, beside a floor in the same run: `cargo bench --bench serve -- [ROUNDS [LOGINS]]`.
//!
//! The floor is a bare tokio server that exchanges the same bytes, with the same TLS. Both are
//! processes of their own with one thread, and are compared by the processor time that a login
//! takes of them, in turns, on one core. Needs Linux; what goes through HAProxy needs that.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

#[cfg(target_os = "linux")]
mod floor;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod load;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match linux::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this bench needs /proc");
}
