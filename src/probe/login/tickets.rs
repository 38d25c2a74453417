//! Tickets of earlier logins, for the next ones.

use std::time::Duration;

use tokio::time::Instant;

use super::{Passport, Plan};
use crate::address::Address;
use crate::msnp::{Account, Dialect};
use crate::secret::SecretString;

/// How old a ticket may be to be handed in once more. None says how long it is good: those of Escargot
/// are for 30 s, those of `serve` for 60 s, those of Microsoft's servers were for hours. What a server
/// takes shows when it refuses one.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Every server takes tickets of this age; the difference from 30 s is for the way to it.
const YOUNG: Duration = Duration::from_secs(25);

/// A server that has taken a ticket again refuses an older one because of its age. Servers count
/// that in seconds; a refusal before the first one has another reason.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// The tickets of this process that are still good, and what the servers made of them.
///
/// The caller keeps it from one login to the next. A ticket belongs to an account and a Passport
/// page, and serves every server that has both. It goes only where the login without it would have
/// sent one as well: ahead, in the first write, to the address that carried the last session of a
/// server, and to all others when they ask for it.
#[derive(Debug, Default)]
pub struct Tickets(Vec<Purse>);

/// The ticket of one account from one Passport page.
#[derive(Debug)]
struct Purse {
    account: Account,
    passport: Passport,
    /// The ticket, and when it was asked for.
    ticket: Option<(SecretString, Instant)>,
    servers: Vec<Server>,
}

/// What is known of a server that a plan names.
#[derive(Debug)]
struct Server {
    named: Address,
    carrier: Option<Carrier>,
    /// How it has taken a ticket again.
    taken: Option<Manner>,
    /// The age from which on it is not offered a ticket again.
    limit: Duration,
}

/// Who carried a session, perhaps after a referral, and takes several commands at once.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    pub(super) address: Address,
    pub(super) dialect: Dialect,
}

/// How a kept ticket is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    /// When the server asks for it.
    Asked,
    /// Ahead, in the first write.
    Ahead,
}

/// A ticket to hand in once more.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) ticket: SecretString,
    /// Where it may go ahead.
    pub(super) carrier: Option<Carrier>,
}

impl Tickets {
    /// The ticket to begin with, if there is one that the server may take.
    pub(super) fn kept(&mut self, plan: &Plan) -> Option<Kept> {
        let purse = self.purse(plan);
        let (ticket, asked) = purse.ticket.clone()?;
        let server = purse.server(plan);
        (asked.elapsed() < server.limit).then(|| Kept {
            ticket,
            carrier: server.carrier.clone(),
        })
    }

    /// The server has taken a new ticket, which was asked for at that time.
    pub(super) fn keep(
        &mut self,
        plan: &Plan,
        ticket: SecretString,
        asked: Instant,
        carrier: Option<Carrier>,
    ) {
        let purse = self.purse(plan);
        purse.ticket = Some((ticket, asked));
        purse.server(plan).carrier = carrier;
    }

    /// The server has taken a ticket again.
    pub(super) fn taken(&mut self, plan: &Plan, manner: Manner, carrier: Option<Carrier>) {
        let server = self.purse(plan).server(plan);
        server.taken = server.taken.max(Some(manner));
        server.carrier = carrier;
    }

    /// The server has not taken the ticket again: it is forgotten. Age is the reason if the ticket
    /// was old, or if the server has taken another in that manner before; no other gets as old then.
    /// A server without that reason takes none, and is not offered any more.
    pub(super) fn refused(&mut self, plan: &Plan, manner: Manner) {
        let purse = self.purse(plan);
        let asked = purse.ticket.take().map(|(_, asked)| asked);
        let age = asked.map_or(MAX_AGE, |asked| asked.elapsed());
        let server = purse.server(plan);
        let limit = match server.taken >= Some(manner) {
            // Well below, so that it does not have to refuse many to show its limit.
            _ if age >= YOUNG => (age / 2).max(YOUNG),
            true => age.max(MIN_LIFETIME),
            false => Duration::ZERO,
        };
        server.limit = server.limit.min(limit);
    }

    fn purse(&mut self, plan: &Plan) -> &mut Purse {
        let is_it =
            |purse: &Purse| purse.account == plan.account && purse.passport == plan.passport;
        let at = self.0.iter().position(is_it).unwrap_or_else(|| {
            self.0.push(Purse {
                account: plan.account.clone(),
                passport: plan.passport.clone(),
                ticket: None,
                servers: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Purse {
    fn server(&mut self, plan: &Plan) -> &mut Server {
        let is_it = |server: &Server| server.named == plan.server;
        let at = self.servers.iter().position(is_it).unwrap_or_else(|| {
            self.servers.push(Server {
                named: plan.server.clone(),
                carrier: None,
                taken: None,
                limit: MAX_AGE,
            });
            self.servers.len() - 1
        });
        &mut self.servers[at]
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::conntype::PortOrder;
    use crate::secret::ExposeSecret as _;
    use crate::transport::Route;

    fn plan(server: &str, passport: &str) -> Plan {
        Plan {
            server: Address::parse(server, 1863).unwrap(),
            account: "user@example.com".parse().unwrap(),
            password: SecretString::from("secret"),
            passport: Passport::Nexus(passport.parse().unwrap()),
            decodes_sign_in: false,
            credential_hosts: Vec::new(),
            dialects: Vec::new(),
            lockstep: false,
            order: PortOrder::Auto,
            route: Route::default(),
            gateway: None,
            insecure_http: false,
            timeout: Duration::from_secs(20),
        }
    }

    /// Tickets with a new one that the server has taken.
    fn with_new(tickets: &mut Tickets, plan: &Plan) {
        let carrier = Carrier {
            address: plan.server.clone(),
            dialect: Dialect::MSNP9,
        };
        tickets.keep(
            plan,
            SecretString::from("t=1"),
            Instant::now(),
            Some(carrier),
        );
    }

    async fn wait(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_for_one_account_and_one_passport() {
        let mut tickets = Tickets::default();
        let first = plan("ns", "https://login/nexus");
        assert!(tickets.kept(&first).is_none());
        with_new(&mut tickets, &first);
        let kept = tickets.kept(&first).unwrap();
        assert_eq!(kept.ticket.expose_secret(), "t=1");
        assert_eq!(kept.carrier.unwrap().address, first.server);
        assert!(!format!("{tickets:?}").contains("t=1"));

        // Another server is to ask for it.
        let second = tickets.kept(&plan("ns2", "https://login/nexus")).unwrap();
        assert!(second.carrier.is_none());

        assert!(tickets.kept(&plan("ns", "https://other/nexus")).is_none());
        let same_page = Passport::Login("https://login/nexus".parse().unwrap());
        let account = "other@example.com".parse().unwrap();
        for other in [
            Plan {
                passport: same_page,
                ..first.clone()
            },
            Plan { account, ..first },
        ] {
            assert!(tickets.kept(&other).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_kept_for_as_long_as_every_server_takes_it() {
        let (mut tickets, plan) = (Tickets::default(), plan("ns", "https://login/"));
        with_new(&mut tickets, &plan);
        wait(3599).await;
        assert!(tickets.kept(&plan).is_some());
        wait(1).await;
        assert!(tickets.kept(&plan).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_shows_its_limit_by_refusing_an_old_ticket() {
        for (refused_at, limit) in [(30, 25), (60, 30), (600, 300)] {
            let (mut tickets, plan) = (Tickets::default(), plan("ns", "https://login/"));
            with_new(&mut tickets, &plan);
            wait(refused_at).await;
            tickets.refused(&plan, Manner::Ahead);
            with_new(&mut tickets, &plan);
            wait(limit - 1).await;
            assert!(tickets.kept(&plan).is_some());
            wait(1).await;
            assert!(tickets.kept(&plan).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_took_a_ticket_again_is_offered_none() {
        let (mut tickets, ns) = (Tickets::default(), plan("ns", "https://login/"));
        with_new(&mut tickets, &ns);
        tickets.refused(&ns, Manner::Ahead);
        assert!(tickets.kept(&ns).is_none(), "it is forgotten");
        with_new(&mut tickets, &ns);
        assert!(tickets.kept(&ns).is_none(), "nor is another one offered");
        let other = plan("ns2", "https://login/");
        assert!(tickets.kept(&other).is_some(), "but to others");

        // When asked for is another matter than ahead.
        tickets.taken(&other, Manner::Asked, None);
        tickets.refused(&other, Manner::Ahead);
        with_new(&mut tickets, &ns);
        assert!(tickets.kept(&other).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_took_one_is_offered_none_as_old_as_the_one_it_refused() {
        for manner in [Manner::Ahead, Manner::Asked] {
            let (mut tickets, plan) = (Tickets::default(), plan("ns", "https://login/"));
            with_new(&mut tickets, &plan);
            tickets.taken(&plan, Manner::Ahead, None);
            wait(10).await;
            tickets.refused(&plan, manner);
            assert!(tickets.kept(&plan).is_none());
            with_new(&mut tickets, &plan);
            wait(9).await;
            assert!(tickets.kept(&plan).is_some());
            wait(1).await;
            assert!(tickets.kept(&plan).is_none());
        }
    }
}
