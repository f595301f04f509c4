//! Where everything random of the world comes from: a number of its own for each part, and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hyperty_router::node::{MessageNode, NodeConfig};

use super::DOMAIN;

pub(super) fn node(number: u8) -> Arc<MessageNode> {
    let next = AtomicU64::new(u64::from(number) << 56);
    let random = move |bytes: &mut [u8]| {
        for part in bytes.chunks_mut(8) {
            let drawn = mix(next.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    };
    Arc::new(MessageNode::new(NodeConfig::new(DOMAIN), random).unwrap())
}

pub(super) fn numbers(number: u8) -> impl Fn() -> u128 + Send + Sync {
    let next = AtomicU64::new(u64::from(number) + 1);
    move || {
        let drawn = next.fetch_add(1 << 8, Ordering::Relaxed);
        u128::from(mix(drawn)) << 64 | u128::from(mix(!drawn))
    }
}

/// SplitMix64's finaliser.
fn mix(of: u64) -> u64 {
    let mut z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
