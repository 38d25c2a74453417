//! The accounts in the file of a server.

use serde::Serialize;

use super::{SCHEMA_VERSION, json};

/// What an account's password is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StoredAs {
    /// A hash by Argon2id.
    Argon2id,
    /// The password itself.
    Plain,
}

impl StoredAs {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Plain => "plain",
        }
    }
}

/// An account in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedAccount {
    /// The account, as it is written there.
    pub account: String,
    /// What its password is stored as.
    pub hash: StoredAs,
}

/// The accounts in a file, in its order.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document<'a> {
    /// One entry for each account.
    accounts: &'a [ListedAccount],
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
}

/// One account a line; `verbose` adds what its password is stored as.
#[must_use]
pub fn text(accounts: &[ListedAccount], verbose: bool) -> String {
    let lines = accounts.iter().map(|listed| match verbose {
        true => format!("{} {}\n", listed.account, listed.hash.as_str()),
        false => format!("{}\n", listed.account),
    });
    lines.collect()
}

/// The accounts as a JSON document.
#[must_use]
pub fn json(accounts: &[ListedAccount]) -> String {
    json::render(&Document {
        accounts,
        schema_version: SCHEMA_VERSION,
    })
}
