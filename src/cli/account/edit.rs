//! Changes of an account file. What they do not concern stays as it is, byte for byte.

use std::collections::HashSet;
use std::ops::Range;

use crate::msnp::Account;
use crate::report::{ListedAccount, StoredAs};
use crate::secret::Zeroizing;
use crate::server::{BadAccountList, PasswordHash, Stored, folded, read_line};

/// What `add` has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Replaced,
}

/// A line with an account.
struct Place {
    /// Where it is, without its end.
    line: Range<usize>,
    account: Account,
    hash: StoredAs,
}

/// Whether a line can hold the account: what it is read as is what was written.
pub(super) fn can_hold(account: &Account) -> bool {
    let line = format!("{account}:x");
    let read = read_line(&line, 1).ok().flatten();
    read.is_some_and(|listed| {
        listed.account == *account && matches!(listed.password, Stored::Plain("x"))
    })
}

/// The text with the account, or with this hash in place of its password.
pub(super) fn add(
    text: &str,
    account: &Account,
    hash: &PasswordHash,
) -> Result<(Zeroizing<String>, Added), BadAccountList> {
    let hash = hash.to_string();
    if let Some(place) = find(text, account)? {
        let line = &text[place.line.clone()];
        // The account stays as it is written there.
        let password = place.line.start + line.find(':').map_or(line.len(), |at| at + 1);
        let parts = [&text[..password], &hash, &text[place.line.end..]];
        return Ok((joined(&parts), Added::Replaced));
    }
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let is_open = !text.is_empty() && !text.ends_with('\n');
    let before = if is_open { end } else { "" };
    let parts = [text, before, account.as_str(), ":", &hash, end];
    Ok((joined(&parts), Added::New))
}

/// The text without the account; `None` if it is not listed.
pub(super) fn remove(
    text: &str,
    account: &Account,
) -> Result<Option<Zeroizing<String>>, BadAccountList> {
    let Some(place) = find(text, account)? else {
        return Ok(None);
    };
    let after = &text[place.line.end..];
    let end = after.find('\n').map_or(after.len(), |at| at + 1);
    Ok(Some(joined(&[&text[..place.line.start], &after[end..]])))
}

/// The accounts, in the order of the file.
pub(super) fn list(text: &str) -> Result<Vec<ListedAccount>, BadAccountList> {
    let listed = places(text)?.into_iter().map(|place| ListedAccount {
        account: place.account.to_string(),
        hash: place.hash,
    });
    Ok(listed.collect())
}

fn find(text: &str, account: &Account) -> Result<Option<Place>, BadAccountList> {
    let wanted = folded(account.as_str());
    let places = places(text)?;
    let mut places = places.into_iter();
    Ok(places.find(|place| folded(place.account.as_str()) == wanted))
}

/// Every account with its line.
fn places(text: &str) -> Result<Vec<Place>, BadAccountList> {
    let mut places = Vec::new();
    let mut known = HashSet::new();
    let mut start = 0;
    for (whole, number) in text.split_inclusive('\n').zip(1..) {
        let line = match whole.strip_suffix('\n') {
            Some(line) => line.strip_suffix('\r').unwrap_or(line),
            None => whole,
        };
        if let Some(listed) = read_line(line, number)? {
            if !known.insert(folded(listed.account.as_str()).into_owned()) {
                return Err(BadAccountList::Duplicate(number));
            }
            places.push(Place {
                line: start..start + line.len(),
                account: listed.account,
                hash: match listed.password {
                    Stored::Plain(_) => StoredAs::Plain,
                    Stored::Hash(_) => StoredAs::Argon2id,
                },
            });
        }
        start += whole.len();
    }
    Ok(places)
}

/// The parts in one text, which may hold passwords: no copy of it is left behind by growing.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> Account {
        text.parse().unwrap()
    }

    fn hash() -> PasswordHash {
        PasswordHash::of(&"right".into()).unwrap()
    }

    #[test]
    fn an_account_is_added_at_the_end() {
        let hash = hash();
        for (before, after) in [
            ("", "ann@b.c:HASH\n"),
            ("# people\n", "# people\nann@b.c:HASH\n"),
            ("bob@b.c:x", "bob@b.c:x\nann@b.c:HASH\n"),
            ("bob@b.c:x\r\n\r\n", "bob@b.c:x\r\n\r\nann@b.c:HASH\r\n"),
            ("bob@b.c:x\r\n#", "bob@b.c:x\r\n#\r\nann@b.c:HASH\r\n"),
            ("#ann@b.c:x\n", "#ann@b.c:x\nann@b.c:HASH\n"),
        ] {
            let (text, added) = add(before, &account("ann@b.c"), &hash).unwrap();
            let after = after.replace("HASH", &hash.to_string());
            assert_eq!((&**text, added), (&*after, Added::New), "{before:?}");
        }
    }

    #[test]
    fn a_password_is_replaced_where_it_is_and_nothing_else_changes() {
        let hash = hash();
        let before = "\u{feff}Ann@b.c:old\r\n\n # \tx@y.z:1:2\n#c\nbob@b.c: x:y \r\neve@b.c:\u{e9}";
        let before = before.replace(" # \t", "");
        for (name, line, with) in [
            ("ANN@b.c", "Ann@b.c:old", "Ann@b.c:HASH"),
            ("x@y.z", "x@y.z:1:2", "x@y.z:HASH"),
            ("bob@b.c", "bob@b.c: x:y ", "bob@b.c:HASH"),
            ("eve@b.c", "eve@b.c:\u{e9}", "eve@b.c:HASH"),
        ] {
            let (text, added) = add(&before, &account(name), &hash).unwrap();
            let after = before.replace(line, &with.replace("HASH", &hash.to_string()));
            assert_eq!((&**text, added), (&*after, Added::Replaced), "{name}");
            let listed = list(&text).unwrap();
            let changed = listed.iter().filter(|one| one.hash == StoredAs::Argon2id);
            assert_eq!(changed.count(), 1);
        }
    }

    #[test]
    fn an_account_is_removed_with_its_line() {
        for (before, name, after) in [
            ("ann@b.c:x\n", "ANN@b.c", Some("")),
            (
                "#\r\nann@b.c:x\r\nbob@b.c:y\r\n",
                "ann@b.c",
                Some("#\r\nbob@b.c:y\r\n"),
            ),
            ("bob@b.c:y\nann@b.c:x", "ann@b.c", Some("bob@b.c:y\n")),
            ("bob@b.c:y\n#ann@b.c:x\n", "ann@b.c", None),
            ("", "ann@b.c", None),
        ] {
            let text = remove(before, &account(name)).unwrap();
            assert_eq!(text.as_ref().map(|text| text.as_str()), after, "{before:?}");
        }
    }

    #[test]
    fn what_the_server_would_refuse_is_not_changed() {
        for (text, error) in [
            ("ann@b.c", BadAccountList::NotAPair(1)),
            ("a@b.c:x\nA@b.c:y\n", BadAccountList::Duplicate(2)),
        ] {
            assert_eq!(list(text).unwrap_err(), error);
            assert_eq!(add(text, &account("new@b.c"), &hash()).unwrap_err(), error);
            assert_eq!(remove(text, &account("a@b.c")).unwrap_err(), error);
        }
    }

    #[test]
    fn an_account_that_a_line_cannot_hold_is_known() {
        for (name, holds) in [
            ("ann@b.c", true),
            ("zo\u{eb}@b.c", true),
            ("ann", false),
            ("a:b@b.c", false),
            ("ann@b.c:1", false),
            ("#ann@b.c", false),
            ("\u{feff}ann@b.c", false),
        ] {
            assert_eq!(can_hold(&account(name)), holds, "{name}");
        }
    }
}
