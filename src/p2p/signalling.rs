//! What the stubs say to each other: the invitation, and the data of a Connection object.
//!
//! Only reading and writing of bodies; who says what when is [`super::setup`]. A wrong member is an error
//! that names it, and the set-up fails with that as its reason.

use std::{fmt, net::SocketAddr};

use simd_json::{OwnedValue, json, prelude::*};

use crate::{address::Url, limits};

/// The schema named in our invitations.
pub const CONNECTION_SCHEMA: &str =
    "hyperty-catalogue://catalogue/.well-known/dataschema/Connection";
/// The ALPN protocol of QUIC peers.
pub const QUIC_ALPN: &str = "hyperty-p2p/1";

/// A peer transport, by its word in signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// QUIC by TLS 1.3 with pinned keys.
    Quic,
    /// A WebRTC data channel.
    Webrtc,
}

impl Transport {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Transport::Quic => "quic",
            Transport::Webrtc => "webrtc",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "quic" => Some(Transport::Quic),
            "webrtc" => Some(Transport::Webrtc),
            _ => None,
        }
    }
}

/// `create` from `<object>/subscription`: a reporter invites the other side to observe its Connection object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The stub that reports.
    pub reporter: Url,
    /// Its runtime.
    pub runtime: Url,
    /// The Connection object.
    pub object: Url,
    /// Transports that it can do, best first; those we do not know are left out.
    pub transports: Vec<Transport>,
    /// It is one of ours: it numbers messages and moves them between paths.
    pub handover: bool,
    /// The process life of its runtime, if it says so: one of ours does.
    pub incarnation: Option<u128>,
    /// What the Handler gave the Requester to know it by, in the Handler's own invitation.
    pub token: Option<u128>,
}

impl Invitation {
    /// Reads `body.value` of an invitation sent from `from`.
    ///
    /// # Errors
    /// [`SignallingError`] names the member.
    pub fn read(from: &str, body: Option<&OwnedValue>) -> Result<Self, SignallingError> {
        let value = body.and_then(|body| body.get("value")).ok_or(missing("value"))?;
        let object = url(value, "url")?;
        if from.strip_prefix(object.as_str()) != Some("/subscription") {
            return Err(wrong("from", "`<value.url>/subscription`"));
        }
        let runtime = url(value, "runtime")?;
        let reporter = url(value, "reporter")?;
        if !runtime.address().covers(&reporter.address()) || runtime == reporter {
            return Err(wrong("reporter", "a stub of `value.runtime`"));
        }
        let transports = match value.get("transports") {
            None => vec![Transport::Webrtc],
            Some(list) => {
                let words = list.as_array().ok_or(wrong("transports", "an array of words"))?;
                if words.len() > limits::TRANSPORTS_MAX {
                    return Err(SignallingError::TooMany {
                        member: "transports",
                        found: words.len(),
                        allowed: limits::TRANSPORTS_MAX,
                    });
                }
                words.iter().filter_map(|word| Transport::from_word(word.as_str()?)).collect()
            }
        };
        let handover = is_capable(value);
        let incarnation = value.get("incarnation").and_then(|text| text.as_str());
        let incarnation = incarnation.and_then(|text| u128::from_str_radix(text, 16).ok());
        let token = read_token(value)?;
        Ok(Invitation { reporter, runtime, object, transports, handover, incarnation, token })
    }

    /// `body` of the invitation.
    pub fn write(&self) -> OwnedValue {
        let transports: Vec<&str> = self.transports.iter().map(|each| each.word()).collect();
        let mut body = json!({ "value": {
            "reporter": self.reporter.as_str(),
            "runtime": self.runtime.as_str(),
            "url": self.object.as_str(),
            "schema": CONNECTION_SCHEMA,
            "name": "P2PConnection",
            "transports": transports,
            "handover": 1,
        }});
        if let (Some(incarnation), Some(value)) = (self.incarnation, body.get_mut("value")) {
            // Inserting into an object cannot fail.
            let _ = value.insert("incarnation", format!("{incarnation:032x}"));
        }
        if let (Some(token), Some(value)) = (self.token, body.get_mut("value")) {
            let _ = value.insert("token", write_token(token));
        }
        body
    }
}

/// True if a `value` announces the hand-over between paths.
pub fn is_capable(value: &OwnedValue) -> bool {
    value.get("handover").and_then(ValueAsScalar::as_u64) == Some(1)
}

/// The `token` of a `value`, if it has one.
///
/// # Errors
/// [`SignallingError`] if it is none.
pub(super) fn read_token(value: &OwnedValue) -> Result<Option<u128>, SignallingError> {
    let Some(token) = value.get("token") else { return Ok(None) };
    let token = token.as_str().and_then(|text| u128::from_str_radix(text, 16).ok());
    token.map(Some).ok_or(wrong("token", "a hexadecimal number of 128 bits"))
}

/// The member `token`.
pub(super) fn write_token(token: u128) -> String {
    format!("{token:032x}")
}

/// What a Connection object holds: how its reporter can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The SHA-256 of the reporter's key, as `sha-256 AB:CD:…`.
    pub fingerprint: String,
    /// Where it listens.
    pub candidates: Vec<Candidate>,
}

impl Description {
    /// Reads `body.value.data` of the response to an observer's subscription. `kind`: `offer` or `answer`.
    ///
    /// # Errors
    /// [`SignallingError`] names the member.
    pub fn read(body: Option<&OwnedValue>, kind: &'static str) -> Result<Self, SignallingError> {
        let data = body
            .and_then(|body| body.get("value"))
            .and_then(|value| value.get("data"))
            .ok_or(missing("value.data"))?;
        let of = data.get("connectionDescription").ok_or(missing("connectionDescription"))?;
        expect_word(of, "type", kind)?;
        expect_word(of, "transport", Transport::Quic.word())?;
        expect_word(of, "alpn", QUIC_ALPN)?;
        let fingerprint = text(of, "fingerprint")?;
        if !is_fingerprint(fingerprint) {
            return Err(wrong("fingerprint", "`sha-256 ` and 32 hexadecimal bytes with colons"));
        }
        let list = match data.get("iceCandidates") {
            None => &[],
            Some(list) => list.as_array().ok_or(wrong("iceCandidates", "an array"))?.as_slice(),
        };
        if list.len() > limits::CANDIDATES_MAX {
            return Err(SignallingError::TooMany {
                member: "iceCandidates",
                found: list.len(),
                allowed: limits::CANDIDATES_MAX,
            });
        }
        let candidates = list.iter().map(Candidate::read).collect::<Result<_, _>>()?;
        Ok(Description { fingerprint: fingerprint.to_owned(), candidates })
    }

    /// `body` members of the response to an observer's subscription.
    pub fn write(&self, kind: &str) -> OwnedValue {
        let candidates: Vec<OwnedValue> = self.candidates.iter().map(Candidate::write).collect();
        json!({ "value": { "data": {
            "connectionDescription": {
                "type": kind,
                "transport": Transport::Quic.word(),
                "alpn": QUIC_ALPN,
                "fingerprint": self.fingerprint.as_str(),
            },
            "iceCandidates": candidates,
        }}})
    }
}

/// One address at which a QUIC endpoint listens: `udp <ip> <port> host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate(pub SocketAddr);

impl Candidate {
    /// Reads `{"type":"candidate","candidate":"udp <ip> <port> host"}`.
    ///
    /// # Errors
    /// [`SignallingError`] names the member.
    pub fn read(value: &OwnedValue) -> Result<Self, SignallingError> {
        expect_word(value, "type", "candidate")?;
        let words: Vec<&str> = text(value, "candidate")?.split(' ').collect();
        let address = match words.as_slice() {
            ["udp", ip, port, _kind] => {
                ip.parse().ok().zip(port.parse().ok()).map(|(ip, port)| SocketAddr::new(ip, port))
            }
            _ => None,
        };
        address
            .filter(|address| address.port() != 0 && !address.ip().is_unspecified())
            .map(Candidate)
            .ok_or(wrong("candidate", "`udp <ip> <port> host`"))
    }

    /// The JSON object.
    pub fn write(&self) -> OwnedValue {
        let text = format!("udp {} {} host", self.0.ip(), self.0.port());
        json!({ "type": "candidate", "candidate": text })
    }
}

/// What is wrong with a signalling message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignallingError {
    /// A member is not there.
    Missing {
        /// Its name.
        member: &'static str,
    },
    /// A member is not what it must be.
    Wrong {
        /// Its name.
        member: &'static str,
        /// What it must be.
        expected: String,
    },
    /// A list is longer than it may be.
    TooMany {
        /// Its name.
        member: &'static str,
        /// Entries found.
        found: usize,
        /// Entries allowed.
        allowed: usize,
    },
    /// The two sides have no transport in common.
    NoCommonTransport,
}

impl fmt::Display for SignallingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignallingError::Missing { member } => write!(f, "`{member}` is missing"),
            SignallingError::Wrong { member, expected } => {
                write!(f, "`{member}` is not {expected}")
            }
            SignallingError::TooMany { member, found, allowed } => {
                write!(f, "`{member}` has {found} entries, at most {allowed} are allowed")
            }
            SignallingError::NoCommonTransport => f.write_str("no transport in common"),
        }
    }
}

impl std::error::Error for SignallingError {}

fn missing(member: &'static str) -> SignallingError {
    SignallingError::Missing { member }
}

pub(super) fn wrong(member: &'static str, expected: &str) -> SignallingError {
    SignallingError::Wrong { member, expected: expected.to_owned() }
}

fn text<'v>(of: &'v OwnedValue, member: &'static str) -> Result<&'v str, SignallingError> {
    match of.get(member) {
        None => Err(missing(member)),
        Some(value) => value.as_str().ok_or(wrong(member, "a string")),
    }
}

fn url(of: &OwnedValue, member: &'static str) -> Result<Url, SignallingError> {
    let text = text(of, member)?;
    Url::parse(text).map_err(|error| SignallingError::Wrong {
        member,
        expected: format!("a URL address ({error})"),
    })
}

fn expect_word(
    of: &OwnedValue,
    member: &'static str,
    expected: &str,
) -> Result<(), SignallingError> {
    match text(of, member)? {
        word if word == expected => Ok(()),
        _ => Err(wrong(member, &format!("`{expected}`"))),
    }
}

fn is_fingerprint(text: &str) -> bool {
    let Some(hex) = text.strip_prefix("sha-256 ") else { return false };
    let bytes: Vec<&str> = hex.split(':').collect();
    bytes.len() == 32
        && bytes.iter().all(|byte| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint() -> String {
        format!("sha-256 {}", ["AB"; 32].join(":"))
    }

    fn description() -> Description {
        Description {
            fingerprint: fingerprint(),
            candidates: vec![
                Candidate("127.0.0.1:4433".parse().unwrap()),
                Candidate("[::1]:4433".parse().unwrap()),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let body = description().write("offer");
        assert_eq!(Description::read(Some(&body), "offer"), Ok(description()));
        let invitation = Invitation {
            reporter: Url::parse("hyperty-runtime://a/alice/p2prequester/1").unwrap(),
            runtime: Url::parse("hyperty-runtime://a/alice").unwrap(),
            object: Url::parse("connection://a/1").unwrap(),
            transports: vec![Transport::Quic],
            handover: true,
            incarnation: Some(7),
            token: Some(8),
        };
        let body = invitation.write();
        assert_eq!(Invitation::read("connection://a/1/subscription", Some(&body)), Ok(invitation));
    }

    #[test]
    fn each_wrong_member_is_named() {
        let named = |body: OwnedValue| match Description::read(Some(&body), "answer") {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        };
        assert!(named(json!({})).contains("value.data"));
        assert!(named(description().write("offer")).contains("`type`"));
        let mut body = description();
        body.fingerprint = "sha-1 AB".to_owned();
        assert!(named(body.write("answer")).contains("`fingerprint`"));
        let mut body = description();
        body.candidates = vec![body.candidates[0]; 10_000];
        assert!(named(body.write("answer")).contains("10000 entries"));
        for candidate in ["tcp 1.2.3.4 5 host", "udp 1.2.3 5 host", "udp 1.2.3.4 0 host", ""] {
            let value = json!({ "type": "candidate", "candidate": candidate });
            assert!(Candidate::read(&value).is_err(), "{candidate}");
        }
    }

    #[test]
    fn an_invitation_must_come_from_its_own_object() {
        let body = json!({ "value": {
            "reporter": "hyperty-runtime://a/alice/p2prequester/1",
            "runtime": "hyperty-runtime://a/alice", "url": "connection://a/1" }});
        assert!(Invitation::read("connection://a/1/subscription", Some(&body)).is_ok());
        assert!(Invitation::read("connection://a/2/subscription", Some(&body)).is_err());
        let body = json!({ "value": {
            "reporter": "hyperty-runtime://b/bob/p2prequester/1",
            "runtime": "hyperty-runtime://a/alice", "url": "connection://a/1" }});
        assert!(Invitation::read("connection://a/1/subscription", Some(&body)).is_err());
    }
}
