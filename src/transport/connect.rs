//! A connection to a server, whichever way the route takes.

use super::dial::{Dialer, Established};
use super::proxy;
use crate::address::Address;
use crate::failure::Failure;
use crate::run_log::Purpose;
use crate::secret::{self, ExposeSecret};

/// Connects to `to`, through the proxy where there is one.
pub(crate) async fn connect(
    dialer: &Dialer<'_>,
    to: &Address,
    purpose: Purpose,
) -> Result<Established, Failure> {
    let Some(settings) = dialer.route.proxies.toward(to) else {
        return dialer.direct(to, purpose).await;
    };
    if let Some((_, password)) = &settings.credentials {
        secret::remember(password.expose_secret());
    }
    proxy::connect(dialer, settings, to, purpose).await
}
