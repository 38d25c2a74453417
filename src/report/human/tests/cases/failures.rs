//! Every class of failure.

use super::*;

/// Every class of failure.
pub(in crate::report::human::tests) fn failures() -> Vec<(&'static str, Report)> {
    let bare = Context {
        timings: Vec::new(),
        ..context()
    };
    vec![
        ("failure-unreachable", {
            let failure = Failure::new(
                Stage::Connect,
                ErrorCode::ConnectionRefused,
                "messenger.example:1863 (198.51.100.9): connection refused",
            );
            Report::of_failure(&failure, bare.clone())
        }),
        ("failure-credentials", {
            let failure = Failure::new(
                Stage::Login,
                ErrorCode::WrongPassword,
                "login.example refused the account or the password (HTTP 401, da-status=failed)",
            );
            let warnings = vec![Warning::SignedOutElsewhere];
            Report::of_failure(
                &failure,
                Context {
                    warnings,
                    ..bare.clone()
                },
            )
        }),
        ("failure-no-profile", {
            let failure = Failure::new(
                Stage::Profile,
                ErrorCode::NoProfile,
                "the server signed us in but sent no profile within 10 s",
            );
            let expected = vec![Label::DirectConnect];
            Report::of_failure(
                &failure,
                Context {
                    expected,
                    ..context()
                },
            )
        }),
        ("failure-bug", Report::of_bug()),
        ("failure-hostile", {
            let mut report = Report::of_failure(
                &Failure::new(Stage::Negotiate, ErrorCode::Malformed, "x"),
                bare,
            );
            // As if somebody had forgotten to make it one line.
            if let Some(error) = &mut report.error {
                error.message = format!("it sent \x1b[31m\r\n\u{202e}{}", "spam".repeat(500));
            }
            report
        }),
    ]
}
