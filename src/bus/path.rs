//! Which path an address takes now, and why: the answer for people and tools.

use std::time::Instant;

use crate::{
    address::Address,
    bus::{MessageBus, TargetReport},
    handover::Explained,
    registry::{
        Onward,
        resolve::{resolve, stub_for},
    },
};

/// What `resolve` says of an address, and what the hand-over makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// What `resolve` says.
    pub target: TargetReport,
    /// The path that a message takes now, and why; `None` if no remote runtime is known for the
    /// address, or it goes by Message Node whatever connection there is. It may differ from what
    /// `resolve` says for a moment, while messages move from one path to the other.
    pub peer: Option<Explained>,
}

impl MessageBus {
    /// Which path `to` takes now, and why. Sends nothing.
    pub fn path_of(&self, to: &Address<'_>, now: Instant) -> PathReport {
        let target = self.explain(to);
        let guard = crossbeam_epoch::pin();
        let peer = match resolve(&self.table, &self.own, to, &guard).onward {
            Onward::P2p { peer, .. } | Onward::MessageNode { peer: Some(peer), .. } => Some(peer),
            _ => None,
        };
        let peer = peer.map(|peer| {
            let stub = stub_for(&self.table, &self.own, to.domain(), &guard);
            peer.explain(stub, now)
        });
        PathReport { target, peer }
    }
}
