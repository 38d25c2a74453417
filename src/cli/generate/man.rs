//! The manual pages: clap's declarations, and what a manual has beside them.

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use textwrap::{Options, WordSplitter};

use crate::cli::error::CommandError;
use crate::exit;

/// When the texts last changed: pages made on different days are the same.
const DATE: &str = "2026-11-27";

const MANUAL: &str = "User Commands";

/// Lines to try, by the name of the page.
const EXAMPLES: [(&str, &[(&str, &str)]); 13] = [
    (
        "msnp9-conntype",
        &[
            (
                "msnp9-conntype --server ms.example.net --user me@example.net",
                "Ask for the password, log in, and print the label and the report.",
            ),
            (
                "msnp9-conntype -q --expect Direct-Connect,IP-Restrict-NAT || echo slow",
                "In a script: the server, account and password come from the environment.",
            ),
        ],
    ),
    (
        "msnp9-conntype-demo",
        &[(
            "msnp9-conntype demo --path both-rewritten",
            "Show the report of a Symmetric-NAT.",
        )],
    ),
    (
        "msnp9-conntype-serve",
        &[(
            "msnp9-conntype serve --listen 0.0.0.0:1863 --accounts accounts.txt",
            "Serve the accounts in a file to the network.",
        )],
    ),
    (
        "msnp9-conntype-account",
        &[(
            "msnp9-conntype account list --accounts accounts.txt -v",
            "Print the accounts, and whether each password is stored as a hash.",
        )],
    ),
    (
        "msnp9-conntype-account-add",
        &[(
            "msnp9-conntype account add --accounts accounts.txt me@example.net",
            "Ask for a password, and store its hash.",
        )],
    ),
    (
        "msnp9-conntype-account-remove",
        &[(
            "msnp9-conntype account remove --accounts accounts.txt me@example.net",
            "Remove the account.",
        )],
    ),
    (
        "msnp9-conntype-account-check",
        &[(
            "msnp9-conntype account check --accounts accounts.txt me@example.net <password.txt",
            "Check the password in the first line of a file.",
        )],
    ),
    (
        "msnp9-conntype-classify",
        &[(
            "msnp9-conntype classify --local 192.168.1.5:46412 --profile saved.txt",
            "Print the label for a profile that was saved, and for the local end of its connection.",
        )],
    ),
    (
        "msnp9-conntype-probe",
        &[(
            "msnp9-conntype probe --udp-echo echo.example.net",
            "Print the connection type of UDP.",
        )],
    ),
    (
        "msnp9-conntype-explain",
        &[(
            "msnp9-conntype explain Symmetric-NAT",
            "Tell what this label means for file transfer, voice and webcam.",
        )],
    ),
    (
        "msnp9-conntype-generate-completions",
        &[(
            "source <(msnp9-conntype generate completions bash)",
            "Use the completions in this shell.",
        )],
    ),
    (
        "msnp9-conntype-generate-man",
        &[(
            "msnp9-conntype generate man --out ~/.local/share/man/man1",
            "Install the manual pages for one user.",
        )],
    ),
    (
        "msnp9-conntype-generate-schema",
        &[(
            "msnp9-conntype generate schema >report.schema.json",
            "Save the schema that the document of a login satisfies.",
        )],
    ),
];

/// The page of the program itself.
pub(super) fn main(command: Command) -> Result<String, CommandError> {
    Ok(page(&built(command), &[])?.1)
}

/// The page of every command, by the names of their files.
pub(super) fn pages(command: Command) -> Result<Vec<(String, String)>, CommandError> {
    fn add(
        pages: &mut Vec<(String, String)>,
        command: &Command,
        above: &[String],
    ) -> Result<(), CommandError> {
        pages.push(page(command, above)?);
        let above = [above, &[name(command)]].concat();
        let mut inner = command.get_subcommands();
        inner.try_for_each(|command| add(pages, command, &above))
    }
    let mut pages = Vec::new();
    add(&mut pages, &built(command), &[])?;
    Ok(pages)
}

fn built(command: Command) -> Command {
    let mut command = command
        .disable_help_subcommand(true)
        .mut_subcommands(|command| command.disable_help_subcommand(true));
    command.build();
    command
}

/// The name of a command's page.
fn name(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

/// The name of a command's file, and its page; `above` names the commands it belongs to.
fn page(command: &Command, above: &[String]) -> Result<(String, String), CommandError> {
    let name = name(command);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let declared = command
        .clone()
        .override_usage(usage)
        .subcommand_help_heading("COMMANDS")
        .after_help(None::<&str>)
        .version(None::<&str>)
        .mut_args(with_values);
    let mut text = Vec::new();
    Man::new(declared)
        .title(name.to_uppercase())
        .date(DATE)
        .source(format!("msnp9-conntype {version}"))
        .manual(MANUAL)
        .render(&mut text)
        .context("a manual page")?;
    let text = String::from_utf8(text).context("a manual page")?;
    let own = own_sections(command, &name, above).render();
    // What comes before the first section is there already.
    let own = own.find(".SH").map_or("", |at| &own[at..]);
    Ok((format!("{name}.1"), tidied(&(text + own))))
}

/// The argument with its possible values in a line, unless each has a text of its own.
fn with_values(arg: clap::Arg) -> clap::Arg {
    let values = arg.get_possible_values();
    if values.is_empty() || values.iter().any(|value| value.get_help().is_some()) {
        return arg;
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
    let help = format!("{help}\n\nPossible values: {}.", names.join(", "));
    arg.long_help(help).hide_possible_values(true)
}

/// The sections that clap knows nothing of.
fn own_sections(command: &Command, name: &str, above: &[String]) -> Roff {
    let mut roff = Roff::new();
    let mut section = |title, items: Vec<(Vec<Inline>, String)>| {
        if !items.is_empty() {
            roff.control("SH", [title]);
        }
        for (head, text) in items {
            roff.control("TP", []).text(head).text([roman(text)]);
        }
    };
    section("EXIT STATUS", exit_status(command));
    section("ENVIRONMENT", environment(command));
    let examples = EXAMPLES.iter().filter(|(page, _)| *page == name);
    let examples = examples.flat_map(|(_, examples)| *examples);
    section(
        "EXAMPLES",
        examples
            .map(|(line, text)| (vec![bold(*line)], (*text).to_owned()))
            .collect(),
    );
    let inner = command.get_subcommands().map(self::name);
    let mut others: Vec<_> = above.iter().cloned().chain(inner).collect();
    if let Some(last) = others.pop() {
        roff.control("SH", ["SEE ALSO"]);
        for other in others {
            roff.text([bold(other), roman("(1),")]);
        }
        roff.text([bold(last), roman("(1)")]);
    }
    roff
}

/// The exit codes that a command has, with their meanings.
fn exit_status(command: &Command) -> Vec<(Vec<Inline>, String)> {
    const INTERRUPTED: [(&str, &str); 2] = [
        ("130", "interrupted by SIGINT (Ctrl-C)"),
        (
            "143",
            "interrupted by SIGTERM, or by SIGHUP as the terminal vanished",
        ),
    ];
    let [at_sigint, at_sigterm] = INTERRUPTED;
    let of_account = |code_1| {
        let codes = &["0", "1", "2", "70", "74", "130", "143"][..];
        let texts = vec![("0", "success"), ("1", code_1), at_sigint, at_sigterm];
        Some((texts, codes))
    };
    let own = match command.get_name() {
        "serve" => Some((
            vec![("0", "SIGINT or SIGTERM ended the server")],
            &["0", "1", "2", "70", "74"][..],
        )),
        "explain" | "generate" | "completions" | "man" | "schema" | "list" => {
            Some((vec![("0", "success")], &["0", "2", "70", "74"][..]))
        }
        "account" => of_account(
            "'remove', 'check': the account is not listed; 'check': the password is wrong",
        ),
        "add" => Some((
            vec![("0", "success"), at_sigint, at_sigterm],
            &["0", "2", "70", "74", "130", "143"][..],
        )),
        "remove" => of_account("the account is not listed"),
        "check" => of_account("the account is not listed, or the password is wrong"),
        _ => None,
    };
    let rows = exit::HELP.lines().skip(1);
    let rows = rows.filter_map(|row| match row.strip_prefix("  ") {
        Some(row) => row.split_once(' '),
        None => row.split_once(": "),
    });
    let rows = rows.map(|(code, text)| (code, text.trim()));
    let item = |(code, text): (&str, &str)| {
        let (texts, codes) = own
            .as_ref()
            .map_or((&[][..], None), |(texts, codes)| (&texts[..], Some(codes)));
        if codes.is_some_and(|codes| !codes.contains(&code)) {
            return None;
        }
        let text = texts
            .iter()
            .find(|(own, _)| *own == code)
            .map_or(text, |(_, text)| text);
        Some((vec![bold(code)], text.to_owned()))
    };
    rows.filter_map(item).collect()
}

/// The variables that a command reads, with what each is for.
fn environment(command: &Command) -> Vec<(Vec<Inline>, String)> {
    let options = command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_string_lossy().into_owned();
        Some((variable, format!("The value of --{}.", arg.get_long()?)))
    });
    let mut all: Vec<_> = options.collect();
    let has = |option| command.get_arguments().any(|arg| arg.get_id() == option);
    let logs_in = has("proxy");
    let others = [
        (
            logs_in,
            "MSNP9_PASSWORD",
            "The password, where --password-file is not given.",
        ),
        (
            logs_in,
            "HTTPS_PROXY, ALL_PROXY, NO_PROXY",
            "The proxy, and the hosts to reach without it; read with --proxy env alone.",
        ),
        (
            has("expect"),
            "GITHUB_STEP_SUMMARY",
            "The file that --format github adds a summary to.",
        ),
        (
            command.get_name() == "serve",
            "RUST_LOG",
            "What is logged, where neither -v nor -q is given.",
        ),
        (
            true,
            "NO_COLOR, CLICOLOR, CLICOLOR_FORCE",
            "Whether to use colours, where --color is not given: any NO_COLOR and CLICOLOR=0 mean \
             never, CLICOLOR_FORCE=1 means always.",
        ),
    ];
    all.extend(
        others
            .into_iter()
            .filter(|(is_read, ..)| *is_read)
            .map(|(_, name, text)| (name.to_owned(), text.to_owned())),
    );
    all.into_iter()
        .map(|(name, text)| (vec![bold(name)], text))
        .collect()
}

/// The page with short lines, and without what checkers of manual pages complain about.
fn tidied(page: &str) -> String {
    let at_words = Options::new(80).word_splitter(WordSplitter::NoHyphenation);
    let at_words = at_words.break_words(false);
    let mut lines: Vec<String> = Vec::new();
    for line in page.lines().map(str::trim_end) {
        let last = lines.last().map_or("", String::as_str);
        match line {
            "" => {
                // A blank line breaks the line anyway.
                if last == ".br" {
                    lines.pop();
                }
                lines.push(".sp".to_owned());
            }
            ".br" if last == ".sp" => {}
            // The values stand below the text, not further to the right.
            ".RS 14" => lines.push(".RS".to_owned()),
            // The head of an item is one line.
            _ if line.starts_with('.') || last == ".TP" => lines.push(line.to_owned()),
            _ => lines.extend(textwrap::wrap(line, &at_words).iter().map(as_text)),
        }
    }
    lines.join("\n") + "\n"
}

/// A line that is no request.
fn as_text(line: impl AsRef<str>) -> String {
    let line = line.as_ref();
    match line.starts_with(['.', '\'']) {
        true => format!(r"\&{line}"),
        false => line.to_owned(),
    }
}
