//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    msnp9_conntype::cli::run(std::env::args_os()).into()
}
