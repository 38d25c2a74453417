//! What went wrong, and where. What to do about it is worded in [`report`](crate::report).

use std::fmt;

use serde::Serialize;

use crate::exit::Exit;
use crate::secret::redact;

/// The stages of a run, in the order of a plain login. Stages of the two servers overlap in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Looking up the notification server's name, or the proxy's.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The proxy's handshake.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// An HTTP request and its response.
    Request,
    /// The HTTP gateway.
    Gateway,
    /// VER, CVR and USR I: the dialect and the account.
    Negotiate,
    /// The Passport nexus, which names the login server.
    Nexus,
    /// The Passport login server, which issues the ticket.
    Login,
    /// USR S: the ticket is handed in.
    SignIn,
    /// Waiting for the profile.
    Profile,
    /// Reading the profile.
    Verdict,
    /// The tests of UDP echo.
    UdpEcho,
    /// The tests with STUN servers.
    Stun,
    /// Asking the gateway about its mappings of ports.
    PortMapping,
    /// Being called by a server.
    CallBack,
    /// Reading a capture of packets.
    Capture,
    /// Starting the embedded server.
    Serve,
    /// A bug in this program, wherever it was.
    Bug,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Declares [`ErrorCode`] as a table: variant, word in JSON, exit code, stages, meaning.
macro_rules! error_codes {
    ($($name:ident $word:literal $exit:ident [$($stage:ident)+] $meaning:literal)+) => {
        /// Why there is no verdict, as a stable word: JSON's `error.code`.
        ///
        /// The table in `docs/errors.md` is made from this one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[serde(rename = $word)] $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its exit code.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self {
                    $(Self::$name => Exit::$exit,)+
                }
            }

            /// The stages it can occur in.
            #[must_use]
            pub const fn stages(self) -> &'static [Stage] {
                match self {
                    $(Self::$name => &[$(Stage::$stage),+],)+
                }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }
        }
    };
}

error_codes! {
    NameNotFound "name-not-found" Unreachable [Resolve Nexus Login Gateway UdpEcho Stun CallBack]
        "The host name cannot be looked up, or has no address."
    NoUsableAddress "no-usable-address" Unreachable [Resolve Nexus Login Gateway UdpEcho Stun CallBack]
        "The host has no address of the family that is asked for, or that the proxy can carry."
    ConnectionRefused "connection-refused" Unreachable [Connect Proxy Nexus Login Gateway UdpEcho Stun CallBack]
        "Nothing listens at the address and port."
    Unreachable "unreachable" Unreachable [Connect Proxy Nexus Login Gateway UdpEcho Stun PortMapping CallBack]
        "This host has no route to the address."
    Timeout "timeout" Unreachable [Resolve Connect Proxy Gateway Negotiate Nexus Login SignIn Profile UdpEcho Stun PortMapping CallBack]
        "No answer within the time of the run."
    ConnectionReset "connection-reset" Unreachable [Connect Proxy Nexus Login Gateway Stun CallBack]
        "The connection was reset while it was opened."
    NotPermitted "not-permitted" Unreachable [Connect Proxy Nexus Login Gateway UdpEcho Stun PortMapping CallBack]
        "This host does not permit the connection."
    ConnectionFailed "connection-failed" Unreachable [Connect Proxy Nexus Login Gateway UdpEcho Stun PortMapping CallBack]
        "The connection failed with another system error."
    BindFailed "bind-failed" Unreachable [Connect Proxy Nexus Login Gateway UdpEcho Stun PortMapping CallBack]
        "The local address or port cannot be used."
    LocalPortInUse "local-port-in-use" Unreachable [Connect Proxy Gateway Stun]
        "The local port has a connection to this very address already."
    NoRouter "no-router" Unreachable [PortMapping]
        "This host has no router to ask: no IPv4 route leads beyond the link."
    CallRefused "call-refused" NoProfile [CallBack]
        "The server does not call back."
    NoLoopback "no-loopback" Unreachable [Connect]
        "The loopback addresses are missing."
    ProxyRefused "proxy-refused" Unreachable [Proxy]
        "The proxy does not connect to the server."
    ProxyPassword "proxy-password" Unreachable [Proxy]
        "The proxy requires a user and a password, or refuses those it got."
    ProxyTarget "proxy-target" Unreachable [Proxy]
        "The proxy protocol cannot carry the server's address."
    ProxyClosed "proxy-closed" Unreachable [Proxy]
        "The proxy closed the connection during its handshake."
    ProxyFailed "proxy-failed" Unreachable [Proxy]
        "The connection to the proxy failed during its handshake."
    NotAProxy "no-proxy" Unreachable [Proxy]
        "The other end does not speak the proxy protocol."
    NotTls "no-tls" Unreachable [Nexus Login Gateway]
        "The other end does not speak TLS."
    TlsTooOld "tls-too-old" Unreachable [Nexus Login Gateway]
        "The server speaks neither TLS 1.2 nor TLS 1.3."
    TlsNoCommonCipher "tls-no-common-cipher" Unreachable [Nexus Login Gateway]
        "The server accepts no cipher suite, key exchange or signature that is offered."
    TlsClientCertificate "tls-client-certificate" Unreachable [Nexus Login Gateway]
        "The server requires a client certificate."
    TlsUnknownName "tls-unknown-name" Unreachable [Nexus Login Gateway]
        "The server does not know the name it was asked for."
    TlsRefused "tls-refused" Unreachable [Nexus Login Gateway]
        "The server refuses the TLS connection."
    TlsFailed "tls-failed" Unreachable [Nexus Login Gateway]
        "The TLS handshake failed for another reason."
    BadName "bad-name" Unreachable [Nexus Login Gateway]
        "No certificate can be valid for the server's name."
    CertificateExpired "certificate-expired" Unreachable [Nexus Login Gateway]
        "The server's certificate has expired."
    CertificateNotYetValid "certificate-not-yet-valid" Unreachable [Nexus Login Gateway]
        "The server's certificate is not valid yet."
    CertificateWrongName "certificate-wrong-name" Unreachable [Nexus Login Gateway]
        "The server's certificate is for another name."
    CertificateUntrusted "certificate-untrusted" Unreachable [Nexus Login Gateway]
        "The server's certificate comes from an authority that is not trusted."
    CertificateWeak "certificate-weak" Unreachable [Nexus Login Gateway]
        "The server's certificate has a weak key or signature."
    CertificateRefused "certificate-refused" Unreachable [Nexus Login Gateway]
        "The server's certificate is damaged, revoked, not for a server, or breaks another rule."
    NotHttp "no-http" NoProfile [Nexus Login Gateway]
        "The other end does not speak HTTP."
    NoHttpAnswer "no-http-answer" Unreachable [Nexus Login Gateway]
        "The connection ended without an HTTP response."
    BadAnswer "bad-answer" NoProfile [Nexus Login Gateway]
        "The HTTP response is incomplete or too long."
    BadUrl "bad-address" NoProfile [Nexus Login Gateway]
        "The URL cannot be requested."
    PlainHttp "plain-http" Unreachable [Nexus Login]
        "The password would travel without encryption."
    BadRedirect "bad-redirect" NoProfile [Nexus Login]
        "A redirect leads to something that is no http:// or https:// URL."
    TooManyRedirects "too-many-redirects" NoProfile [Nexus Login]
        "More redirects than are followed."
    NexusWithoutHeader "nexus-without-header" NoProfile [Nexus]
        "The nexus answers without PassportURLs."
    NexusWithoutLogin "nexus-without-login" NoProfile [Nexus]
        "The nexus names no usable login page (DALogin)."
    BadPolicy "bad-policy" NoProfile [Login]
        "The notification server's policy cannot be put into an HTTP header."
    WrongPassword "wrong-password" Credentials [Login]
        "The login server refused the account or the password."
    LoginFailed "login-failed" NoProfile [Login]
        "The login server answers with an HTTP error in place of a ticket."
    LoginWithoutTicket "login-without-ticket" NoProfile [Login]
        "The login server answers without a usable ticket."
    ServerBusy "server-busy" NoProfile [Gateway Negotiate Login SignIn Profile]
        "The server is full, or limits this client."
    NotAGateway "no-gateway" NoProfile [Gateway]
        "The other end is not an HTTP gateway for MSNP."
    GatewayRefused "gateway-refused" NoProfile [Gateway]
        "The HTTP gateway answers with an HTTP error."
    GatewayClosed "gateway-closed" NoProfile [Gateway]
        "The HTTP gateway ended the session."
    SpeaksHttp "talks-http" NoProfile [Negotiate Login SignIn Profile]
        "An HTTP server answers at the notification server's address."
    SpeaksTls "talks-tls" NoProfile [Negotiate Login SignIn Profile]
        "A TLS server answers at the notification server's address."
    NotMsnp "talks-something-else" NoProfile [Negotiate Login SignIn Profile Capture]
        "The other end does not speak MSNP."
    Malformed "malformed" NoProfile [Negotiate Login SignIn Profile]
        "A reply of the notification server is invalid."
    NoDialect "no-dialect" NoProfile [Negotiate]
        "The notification server speaks none of the dialects offered."
    OtherScheme "other-scheme" NoProfile [Negotiate]
        "The notification server requires an authentication scheme other than Passport 1.4 (TWN)."
    BadReferral "bad-referral" NoProfile [Negotiate]
        "A referral (XFR) names no usable address."
    ReferralLoop "referral-loop" NoProfile [Negotiate]
        "The servers refer to each other without end."
    ProtocolError "protocol-error" NoProfile [Negotiate Login SignIn Profile]
        "The notification server rejects a command."
    ServerError "server-error" NoProfile [Negotiate Login SignIn Profile]
        "The notification server reports a failure of its own."
    CredentialsRefused "credentials-refused" Credentials [Negotiate Login SignIn Profile]
        "The notification server refused the account or the ticket."
    SignedOut "signed-out" NoProfile [Negotiate Login SignIn Profile]
        "The notification server ended the session (OUT)."
    SignedInElsewhere "signed-in-elsewhere" NoProfile [Profile]
        "The account was signed in elsewhere during the login (OUT OTH)."
    Closed "closed" NoProfile [Negotiate Login SignIn Profile]
        "The notification server closed the connection."
    ConnectionLost "connection-lost" NoProfile [Negotiate Login SignIn Profile]
        "The connection to the notification server broke."
    NoProfile "no-profile" NoProfile [Profile Verdict Capture]
        "The server accepted the login and sends no profile, or a file holds none."
    NoInvitation "no-invitation" NoProfile [Verdict]
        "The file holds no invitation with connection fields."
    AddressUnknown "address-unknown" NoProfile [Verdict]
        "The profile has no usable ClientIP."
    AddressOursPortUnknown "address-ours-port-unknown" NoProfile [Verdict]
        "The address is the same and the ports cannot be compared."
    ClientIpLoopback "client-ip-loopback" NoProfile [Verdict]
        "ClientIP is a loopback address of a server on another host."
    KnownConstant "known-constant" NoProfile [Verdict]
        "The profile holds values that a server is known to send to everybody."
    ObservedConstant "observed-constant" NoProfile [Verdict]
        "ClientPort stayed the same while the local port changed."
    ObservationsDisagree "observations-disagree" NoProfile [Verdict]
        "Two observations contradict each other and have nothing in common."
    Inconclusive "inconclusive" NoProfile [Stun]
        "The server answered, and its answers do not tell the connection type."
    Interrupted "interrupted" Interrupted [Resolve Connect Proxy Gateway Negotiate Nexus Login SignIn Profile UdpEcho Stun PortMapping CallBack Capture]
        "SIGINT (Ctrl-C) ended the run."
    Terminated "interrupted" Terminated [Resolve Connect Proxy Gateway Negotiate Nexus Login SignIn Profile UdpEcho Stun PortMapping CallBack Capture]
        "SIGTERM ended the run, or SIGHUP as the terminal vanished."
    NotACapture "no-capture" NoProfile [Capture]
        "The file is empty, or is no capture in the formats that are read."
    CaptureCut "capture-cut" NoProfile [Capture]
        "The capture ends within a packet."
    CaptureDamaged "capture-damaged" NoProfile [Capture]
        "The capture, or its compression, is damaged."
    LinkType "link-type" NoProfile [Capture]
        "The capture is of a link type that is not read."
    NoSession "no-session" NoProfile [Capture]
        "The capture holds no session with a notification server."
    BeginsBefore "begins-before-capture" NoProfile [Capture]
        "The session begins before the capture."
    CaptureEnds "capture-ends" NoProfile [Capture]
        "The capture ends before the profile."
    EndsEarly "ends-before-profile" NoProfile [Capture]
        "The session ends after the login and before the profile."
    NoLogin "no-login" NoProfile [Capture]
        "The session ends without a login: the server refers to another, refuses it, or it is closed."
    BytesMissing "bytes-missing" NoProfile [Capture]
        "Bytes before the end of the profile are not in the capture."
    PacketsCut "packets-cut" NoProfile [Capture]
        "Packets before the end of the profile were captured in part (the snap length)."
    IpFragments "ip-fragments" NoProfile [Capture]
        "Packets of the session are IP fragments, which are not put together."
    ConflictingBytes "conflicting-bytes" NoProfile [Capture]
        "The same bytes were sent twice before the end of the profile, and differ."
    Encrypted "encrypted" NoProfile [Capture]
        "The session is encrypted (TLS)."
    OverHttp "over-http" NoProfile [Capture]
        "The session runs through the HTTP gateway."
    TooManySessions "too-many-sessions" NoProfile [Capture]
        "More connections were open at once than are followed."
    ServerSide "server-side" NoProfile [Capture]
        "The capture was taken on the server's side, where the client's own address does not show."
    ServerDisagrees "server-disagrees" NoProfile [Capture]
        "The capture was taken on the server's side, and the profile contradicts its packets."
    BehindBalancer "behind-balancer" NoProfile [Capture]
        "The connection comes from a balancer (PROXY protocol), not from the client."
    SideUnknown "side-unknown" NoProfile [Capture]
        "The packets do not show on which side the capture was taken."
    CannotListen "cannot-listen" Unexpected [Serve]
        "The embedded server cannot listen at an address."
    NoRandomness "no-randomness" Unexpected [Serve]
        "The system has no random numbers for the keys of the embedded server."
    TooFewOpenFiles "too-few-open-files" Unexpected [Serve]
        "The limit of open files is too low for the embedded server."
    System "system" Unexpected [Serve]
        "The operating system refuses something that the embedded server needs."
    Bug "bug" Bug [Bug Gateway Negotiate Nexus Login SignIn Profile]
        "A bug in this program."
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why there is no verdict: where, which code, and one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[error("{stage}: {message}")]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// What happened, as a stable code.
    pub code: ErrorCode,
    /// What happened, in one line for a person. Its words may change.
    pub message: String,
}

impl Failure {
    /// A failure. Secrets in the message, which a hostile server may repeat, are hidden; control
    /// characters become blanks.
    pub fn new(stage: Stage, code: ErrorCode, message: impl Into<String>) -> Self {
        debug_assert!(code.stages().contains(&stage), "{code} in {stage}");
        let message = message.into();
        let message = redact(&message);
        Self {
            stage,
            code,
            message: message
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_used_once() {
        let mut words: Vec<_> = ErrorCode::ALL.iter().map(ToString::to_string).collect();
        words.sort_unstable();
        let all = words.len();
        words.dedup();
        // The two signals share one.
        assert_eq!(words.len() + 1, all);
    }
}
