//! What a RuntimeUA is made from, and what it asks of its owner.

use std::sync::Arc;

use crate::{
    address::{AddressError, Url},
    bus::P2pPolicy,
    handover::{self, Reason},
    link::{Path, Sink},
    message::{Message, ParseLimits},
    p2p::Description,
    status::Status,
};

/// Whose the P2P stubs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stubs {
    /// Ours: they signal and set connections up.
    Ours,
    /// Played by somebody else, who sends their messages and status events; requests to them are answered 200
    /// at once, and the changes of a remote registry count as accepted with an empty list. `trace` runs so.
    Played,
}

/// How a RuntimeUA is made.
#[derive(Clone)]
pub struct UaConfig {
    /// The runtime's URL, `hyperty-runtime://<domain>/<instance>`.
    pub runtime: Url,
    /// When a direct connection is wanted.
    pub policy: P2pPolicy,
    /// Whose the stubs are.
    pub stubs: Stubs,
    /// Bounds for each message.
    pub limits: ParseLimits,
    /// How messages move between paths: windows, dwell and deadline of each remote runtime.
    pub hand_over: handover::Config,
    /// Remote runtimes kept account of at once.
    pub remotes_max: usize,
    /// The `user` in registrations at the domain registry.
    pub user: String,
    /// 128 random bits a call: incarnation, stream ids, jitter.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Gets a copy of each message that the runtime writes itself.
    pub tap: Option<Arc<dyn Sink>>,
}

impl UaConfig {
    /// A runtime at `runtime` with everything else as is usual.
    ///
    /// # Errors
    /// [`RuntimeUrlError`] if no runtime can live there.
    pub fn new(
        runtime: Url,
        random: Arc<dyn Fn() -> u128 + Send + Sync>,
    ) -> Result<Self, RuntimeUrlError> {
        check(&runtime)?;
        Ok(UaConfig {
            user: format!("user://{}/anonymous", runtime.address().domain()),
            runtime,
            policy: P2pPolicy::Automatic,
            stubs: Stubs::Ours,
            limits: ParseLimits::default(),
            hand_over: handover::Config::default(),
            remotes_max: crate::limits::REMOTES_MAX,
            random,
            tap: None,
        })
    }
}

/// Why a URL can't be a runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeUrlError {
    /// The scheme is neither `hyperty-runtime` nor `runtime`.
    Scheme,
    /// There is no instance identifier behind the domain.
    NoInstance,
    /// Too long for the URLs below it.
    TooLong(AddressError),
}

impl std::fmt::Display for RuntimeUrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RuntimeUrlError::Scheme => {
                f.write_str("a runtime URL begins with hyperty-runtime:// or runtime://")
            }
            RuntimeUrlError::NoInstance => {
                f.write_str("a runtime URL has an instance identifier behind its domain")
            }
            RuntimeUrlError::TooLong(error) => {
                write!(f, "no room for the runtime's parts: {error}")
            }
        }
    }
}

impl std::error::Error for RuntimeUrlError {}

/// What the owner of a RuntimeUA has to do or to know.
#[derive(Debug)]
pub enum Output {
    /// The session is open, the Handler's path confirmed, the Hyperties registered.
    Ready,
    /// A connection's status has changed.
    Status {
        /// The owning stub.
        stub: Url,
        /// The new status.
        value: Status,
        /// The remote runtime.
        resource: Url,
        /// Why, if it failed.
        desc: Option<String>,
    },
    /// The messages for a remote runtime take another path.
    PathChanged(PathChange),
    /// Dial the candidates; the peer must have the fingerprint. Report [`super::RuntimeUa::link_up`] or
    /// [`super::RuntimeUa::link_down`].
    Dial {
        /// Which connection.
        connection: u64,
        /// The peer's key and addresses.
        description: Description,
    },
    /// Let the peer with this fingerprint in, and report [`super::RuntimeUa::link_up`] when it came.
    Expect {
        /// Which connection.
        connection: u64,
        /// Its key's fingerprint.
        fingerprint: String,
    },
    /// Close the link of a connection, or give up dialling or expecting it.
    Close {
        /// Which connection.
        connection: u64,
        /// Why, for the other side and the log.
        reason: String,
    },
    /// A message that had been accepted ended otherwise than delivered.
    Undelivered {
        /// The message.
        message: Message,
        /// 503 returned, 504 in doubt.
        code: u16,
    },
    /// Something worth a line in the log.
    Log(String),
}

/// The messages for a remote runtime take another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// The remote runtime, and so every address known to live there.
    pub remote: Url,
    /// The path until now; `None`: there was none.
    pub from: Option<Path>,
    /// The path from now on; `None`: there is none.
    pub to: Option<Path>,
    /// Why.
    pub why: Reason,
    /// True if the messages are numbered, so that the change costs and doubles none.
    pub numbered: bool,
}

fn check(runtime: &Url) -> Result<(), RuntimeUrlError> {
    let address = runtime.address();
    if !matches!(address.scheme(), "hyperty-runtime" | "runtime") {
        return Err(RuntimeUrlError::Scheme);
    }
    if address.is_bare() {
        return Err(RuntimeUrlError::NoInstance);
    }
    // The longest URL that is made from it: a stub, a connection behind it, and what stands below.
    let longest = format!("p2prequester/{}/{}/status", u64::MAX, u64::MAX);
    runtime.join(&longest).map(|_| ()).map_err(RuntimeUrlError::TooLong)
}
