//! In place of the direct connections where no P2P transport is built in: there are none.

use std::sync::Arc;

use crate::{
    p2p::Description,
    runtime::{RuntimeConfig, shared::Shared},
};

/// No endpoint, no connections.
pub(super) struct P2pLinks;

impl P2pLinks {
    pub(super) fn new(_: &RuntimeConfig, _: Arc<Shared>) -> Self {
        P2pLinks
    }

    pub(super) async fn bind(self: &Arc<Self>, _: &str) {}

    pub(super) fn dial(self: &Arc<Self>, _: u64, _: Description) {}

    pub(super) fn expect(self: &Arc<Self>, _: u64, _: &str) {}

    pub(super) fn close_one(&self, _: u64, _: &str) {}

    pub(super) fn cut_all(&self) {}

    pub(super) async fn rebind(&self) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn set_blackhole(&self, _: bool) {}

    pub(super) fn cut_off(&self) {}

    pub(super) async fn close(&self) {}
}
