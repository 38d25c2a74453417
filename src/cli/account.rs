//! `account`: the accounts in the file of `serve --accounts`.

mod edit;
mod file;

use std::path::PathBuf;

use clap::ArgAction;
use clap::builder::BoolishValueParser;

use super::environment::Origins;
use super::error::CommandError;
use super::runtime;
use super::secret_input;
use crate::exit::Exit;
use crate::msnp::Account;
use crate::report::{accounts, print};
use crate::server::{AccountList, Check, PasswordHash};

use edit::Added;
use file::AccountFile;

/// The arguments of `account`.
#[derive(Debug, clap::Args)]
pub(super) struct AccountArgs {
    #[command(subcommand)]
    what: What,

    /// The options whose values come from variables.
    #[arg(skip)]
    pub(super) origins: Origins,
}

/// What is done with the file.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add an account, or replace its password
    ///
    /// Asks for the password twice on the terminal; without one, the first line of stdin is the
    /// password. The file then holds its Argon2id hash. Nothing else in the file changes; it is made
    /// if it is missing, and only its owner can read it.
    Add(OneArgs),
    /// Remove an account
    Remove(OneArgs),
    /// Print the accounts, one a line
    List(ListArgs),
    /// Tell whether a password is right
    ///
    /// Asks for the password on the terminal; without one, the first line of stdin is the password.
    /// Exits with 0 if it is right, and with 1 if it is wrong or the account is not listed.
    Check(OneArgs),
}

/// The file.
#[derive(Debug, clap::Args)]
struct FileArgs {
    /// File of accounts, as of 'serve --accounts'
    #[arg(long, env = "MSNP9_SERVE_ACCOUNTS", value_name = "FILE")]
    accounts: PathBuf,
}

/// An account in the file.
#[derive(Debug, clap::Args)]
struct OneArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Account, such as me@example.net
    #[arg(value_name = "ACCOUNT")]
    account: Account,
}

/// How the accounts are printed.
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Print one JSON document
    #[arg(
        long,
        env = "MSNP9_JSON",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    json: bool,

    /// Print what each password is stored as: argon2id or plain
    #[arg(short, long)]
    verbose: bool,
}

/// Does what is asked for.
pub(super) fn run(args: &AccountArgs) -> Result<Exit, CommandError> {
    let (What::Add(OneArgs { file, .. })
    | What::Remove(OneArgs { file, .. })
    | What::Check(OneArgs { file, .. })
    | What::List(ListArgs { file, .. })) = &args.what;
    let file = AccountFile {
        option: args.origins.name("--accounts"),
        path: &file.accounts,
    };
    let done = match &args.what {
        What::Add(one) => add(&one.account, &file),
        What::Remove(one) => remove(&one.account, &file),
        What::List(how) => list(how, &file),
        What::Check(one) => check(&one.account, &file),
    };
    match done {
        // There is no label to print.
        Err(CommandError::Interrupted(signal)) => Ok(signal.exit()),
        done => done,
    }
}

fn add(account: &Account, file: &AccountFile<'_>) -> Result<Exit, CommandError> {
    if !edit::can_hold(account) {
        let why = "an account needs an '@', and cannot have a ':' or begin with '#'";
        return Err(CommandError::value(account, why));
    }
    // Before anybody types a password for it.
    let text = file.read_present()?.unwrap_or_default();
    edit::list(&text).map_err(|error| file.error(error))?;
    drop(text);
    runtime::with(|runtime| {
        let password = secret_input::new_password(account, runtime)?;
        let hash =
            PasswordHash::of(&password).map_err(|why| CommandError::value("the password", why))?;
        let added = file.change(runtime, |text| {
            edit::add(text, account, &hash).map(|(text, added)| (Some(text), added))
        })?;
        let path = file.path.display();
        print::report(&match added {
            Added::New => format!("added {account} to {path}\n"),
            Added::Replaced => format!("replaced the password of {account} in {path}\n"),
        });
        Ok(Exit::Done)
    })
}

fn remove(account: &Account, file: &AccountFile<'_>) -> Result<Exit, CommandError> {
    file.read()?;
    runtime::with(|runtime| {
        let is_removed = file.change(runtime, |text| {
            let new = edit::remove(text, account)?;
            let is_removed = new.is_some();
            Ok((new, is_removed))
        })?;
        let path = file.path.display();
        if !is_removed {
            return Err(CommandError::Refused(format!("{account} is not in {path}")));
        }
        print::report(&format!("removed {account} from {path}\n"));
        Ok(Exit::Done)
    })
}

fn list(how: &ListArgs, file: &AccountFile<'_>) -> Result<Exit, CommandError> {
    let listed = edit::list(&file.read()?).map_err(|error| file.error(error))?;
    let text = match how.json {
        true => accounts::json(&listed),
        false => accounts::text(&listed, how.verbose),
    };
    print::result(&text).map_err(|why| CommandError::unwritten("stdout", why))?;
    Ok(Exit::Done)
}

fn check(account: &Account, file: &AccountFile<'_>) -> Result<Exit, CommandError> {
    let listed = AccountList::parse(&file.read()?).map_err(|error| file.error(error))?;
    let password = runtime::with(|runtime| secret_input::known_password(account, runtime))?;
    let is_right = match listed.check(account.as_str(), &password) {
        Check::Decided(is_right) => is_right,
        Check::Compute(computation) => computation
            .run(&password)
            .map_err(|why| CommandError::value("the password", why))?,
    };
    match is_right {
        true => Ok(Exit::Done),
        false => Err(CommandError::Refused(
            "the account is not listed, or the password is wrong".to_owned(),
        )),
    }
}
