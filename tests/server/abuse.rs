//! The built server under abuse, in small: `cargo bench --bench abuse` has the figures.

use support::Outcome;
use support::abuse::{self, Scale};

#[test]
fn honest_logins_succeed_under_abuse() -> Outcome<()> {
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(abuse::run(Scale {
            idle: 300,
            mute: 300,
            slow: 60,
            endless: 50,
            garbage: 20_000,
            churn: 300,
            half: 100,
            junk: 90,
            wrong: 800,
            beyond: 120,
            rate: 20,
            logins: 5,
        }))?;
    println!("{report}");
    assert!(report.failed.is_empty(), "{report}");
    Ok(())
}
