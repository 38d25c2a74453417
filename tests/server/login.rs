//! Logins, the way clients of the time go about them.

use msnp9_conntype::server::{AccountList, Accounts, Config, PortField, ProfilePolicy};

use crate::client::{Client, USER, field, start};

#[tokio::test]
async fn a_pipelined_login_ends_with_what_the_server_sees() {
    let server = start(Config::default());
    let mut client = server.connect().await;
    client.introduce("MSNP9", USER).await;
    let ticket = server.ticket(USER, "x").await.unwrap();
    client.say(&format!("USR 4 TWN S {ticket}")).await;
    assert_eq!(client.line().await, format!("USR 4 OK {USER} {USER} 1 0"));
    let profile = client.message().await;
    let local = client.stream.local_addr().unwrap();
    assert_eq!(field(&profile, "ClientIP"), Some("127.0.0.1"));
    let port = local.port().swap_bytes().to_string();
    assert_eq!(field(&profile, "ClientPort"), Some(&*port));
    assert!(profile.ends_with("\r\n\r\n"));
    client.say("OUT").await;
    assert!(client.is_closed().await);
    let counts = server.stop().await;
    assert_eq!((counts.logins, counts.tickets, counts.accepted), (1, 1, 2));
    assert_eq!((counts.failed_logins, counts.protocol_errors), (0, 0));
}
