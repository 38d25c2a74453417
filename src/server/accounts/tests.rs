use super::*;
use crate::server::stats::Stats;

pub(crate) use super::hash::tests::cheap;

fn list(text: &str) -> Result<AccountList, BadAccountList> {
    AccountList::parse(text)
}

/// Accounts, and the computations that their logins cost.
struct Tried {
    accounts: Accounts,
    attempts: Arc<Attempts>,
    stats: Arc<Stats>,
}

impl Tried {
    fn of(text: &str) -> Self {
        let stats = Arc::<Stats>::default();
        Self {
            accounts: Accounts::List(list(text).unwrap()),
            attempts: Attempts::with_limits(1, 9, Arc::clone(&stats)),
            stats,
        }
    }

    fn list(&self) -> &AccountList {
        match &self.accounts {
            Accounts::List(list) => list,
            Accounts::Open => panic!("a list"),
        }
    }

    /// Whether this password is admitted, and how many hashes were computed for it.
    async fn verify(&self, account: &str, password: &str) -> (bool, u64) {
        let before = self.stats.counts().password_hashes;
        let from = ClientNetwork::of([192, 0, 2, 1].into());
        let password = password.into();
        let verified = self
            .accounts
            .verify(account, &password, from, &self.attempts);
        let is_right = verified.await.unwrap();
        (is_right, self.stats.counts().password_hashes - before)
    }
}

#[tokio::test]
async fn only_a_listed_account_with_its_password_may_sign_in() {
    let tried = Tried::of("# people\n\nann@example.com:s3cret:with colon \nBob@example.com: x\n");
    for (account, password, is_right) in [
        ("ann@example.com", "s3cret:with colon ", true),
        ("ANN@example.com", "s3cret:with colon ", true),
        ("bob@EXAMPLE.com", " x", true),
        ("ann@example.com", "s3cret", false),
        ("ann@example.com", "", false),
        ("eve@example.com", "", false),
    ] {
        // A list without hashes costs no computation.
        let want = (is_right, 0);
        assert_eq!(tried.verify(account, password).await, want, "{account}");
    }
    let accounts = &tried.accounts;
    assert!(accounts.contains("bob@example.com") && !accounts.contains("eve@example.com"));
    let open = Tried {
        accounts: Accounts::Open,
        ..tried
    };
    assert_eq!(open.verify("eve@example.com", "").await, (true, 0));
}

#[tokio::test]
async fn a_hash_is_computed_once_for_the_right_password_and_for_each_wrong_one() {
    let tried = Tried::of(&format!(
        "ann@example.com:{}\nbob@example.com:plain\n",
        cheap("right")
    ));
    assert_eq!(tried.list().plain(), 1);
    for (account, password, want) in [
        ("ann@example.com", "wrong", (false, 1)),
        ("ann@example.com", "right", (true, 1)),
        ("Ann@example.com", "right", (true, 0)),
        ("ann@example.com", "wrong", (false, 1)),
        ("ann@example.com", "", (false, 1)),
        // The same for accounts without a hash, and for those that are not listed.
        ("bob@example.com", "plain", (true, 0)),
        ("bob@example.com", "wrong", (false, 1)),
        ("eve@example.com", "right", (false, 1)),
        ("eve@example.com", "", (false, 1)),
    ] {
        let got = tried.verify(account, password).await;
        assert_eq!(got, want, "{account} {password}");
    }
}

#[test]
fn what_is_computed_for_others_costs_as_much_as_most_hashes() {
    let usual = cheap("x");
    let other = usual.replace("t=1", "t=2");
    let text = format!("a@b.c:{other}\nb@b.c:{usual}\nc@b.c:{usual}\nd@b.c:plain\n");
    let list = list(&text).unwrap();
    for account in ["d@b.c", "e@b.c"] {
        let Check::Compute(computation) = list.check(account, &"x".into()) else {
            panic!("{account}: no computation");
        };
        let want = PasswordHash::parse(&usual).unwrap().cost();
        assert_eq!(computation.hash.cost(), want);
        assert_eq!(computation.run(&"x".into()), Ok(false));
    }
}

#[tokio::test]
async fn replacing_a_list_affects_all_its_clones() {
    let tried = Tried::of("ann@example.com:old\n");
    let new = list("ann@example.com:new\nbob@example.com:x\n").unwrap();
    tried.list().clone().replace(&new);
    assert!(!tried.verify("ann@example.com", "old").await.0);
    assert!(tried.verify("ann@example.com", "new").await.0);
    assert!(tried.accounts.contains("bob@example.com"));
}

#[tokio::test]
async fn a_verified_password_stays_known_while_its_hash_is_the_same() {
    let (ann, bob) = (cheap("right"), cheap("right"));
    let tried = Tried::of(&format!("ann@b.c:{ann}\nbob@b.c:{bob}\n"));
    assert_eq!(tried.verify("ann@b.c", "right").await, (true, 1));
    assert_eq!(tried.verify("bob@b.c", "right").await, (true, 1));
    let text = format!("ann@b.c:{ann}\nbob@b.c:{}\n", cheap("right"));
    for _ in 0..2 {
        tried.list().replace(&list(&text).unwrap());
        assert_eq!(tried.verify("ann@b.c", "right").await, (true, 0));
    }
    // Another hash, if of the same password, has to be computed.
    assert_eq!(tried.verify("bob@b.c", "right").await, (true, 1));
    tried
        .list()
        .replace(&list(&format!("ann@b.c:{}\n", cheap("new"))).unwrap());
    assert_eq!(tried.verify("ann@b.c", "right").await, (false, 1));
    assert_eq!(tried.verify("ann@b.c", "new").await, (true, 1));
}

#[tokio::test]
async fn a_password_is_checked_against_the_list_of_the_time_when_its_turn_comes() {
    let tried = Tried::of(&format!("ann@b.c:{}\n", cheap("old")));
    let other = ClientNetwork::of([192, 0, 2, 2].into());
    let turn = tried.attempts.turn(other).await.unwrap();
    let verify = tried.verify("ann@b.c", "new");
    let replace = async {
        tokio::task::yield_now().await;
        tried
            .list()
            .replace(&list(&format!("ann@b.c:{}\n", cheap("new"))).unwrap());
        drop(turn);
    };
    assert_eq!(tokio::join!(verify, replace).0, (true, 1));
}

#[test]
fn an_invalid_list_names_its_line_but_no_password() {
    let hash = cheap("marker");
    let too_much = hash.replace("m=8", "m=999999");
    // No number of bytes has 41 digits of base64; with 42 it may be a shorter hash.
    let cut = &hash[..hash.len() - 2];
    for (text, error) in [
        ("", BadAccountList::Empty),
        ("# nobody\n", BadAccountList::Empty),
        ("a@b.c", BadAccountList::NotAPair(1)),
        ("\n:x", BadAccountList::NotAPair(2)),
        ("a@b.c:", BadAccountList::NotAPair(1)),
        ("ab.c:marker", BadAccountList::BadAccount(1)),
        ("@b:marker", BadAccountList::BadAccount(1)),
        ("a b@c:marker", BadAccountList::BadAccount(1)),
        ("a@b.c:x\nA@B.c:marker", BadAccountList::Duplicate(2)),
        (
            "a@b.c:x\nb@b.c:$argon2i$marker",
            BadAccountList::BadHash(2, BadHash::Algorithm),
        ),
        (
            "a@b.c:$2y$10$marker",
            BadAccountList::BadHash(1, BadHash::Algorithm),
        ),
        (
            &format!("a@b.c:{too_much}"),
            BadAccountList::BadHash(1, BadHash::Cost),
        ),
        (
            &format!("a@b.c:{cut}"),
            BadAccountList::BadHash(1, BadHash::Malformed),
        ),
    ] {
        let got = list(text).unwrap_err();
        assert_eq!(got, error, "{text:?}");
        assert!(!got.to_string().contains("marker"));
    }
}

#[test]
fn debug_shows_no_account() {
    let shown = format!("{:?}", Accounts::List(list("a@b.c:marker").unwrap()));
    assert_eq!(shown, "List(AccountList of 1)");
}

#[test]
fn accounts_are_compared_without_case() {
    for (text, lower) in [
        ("ann@example.com", "ann@example.com"),
        ("Ann@Example.com", "ann@example.com"),
        ("zoë@example.com", "zoë@example.com"),
        ("ZOË@example.com", "zoë@example.com"),
        ("ǅ@example.com", "ǆ@example.com"),
    ] {
        assert_eq!(folded(text), lower);
    }
}
