//! The HTTP gateway.

use tokio::sync::watch;

use super::http::{Request, Response};
use super::web::Web;

#[derive(Debug, Default)]
pub(super) struct Gateway {}

impl Gateway {
    pub(super) async fn answer(
        &self,
        _request: &Request,
        _web: &Web,
        _closing: watch::Receiver<bool>,
    ) -> Response {
        Response::empty("404 Not Found")
    }
}
