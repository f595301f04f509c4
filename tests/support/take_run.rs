//! Messages that arrive together, given to the receiving end of a direct connection as its reader gives them.

use std::time::Instant;

use bytes::Bytes;
use hyperty_router::ua::{LinkFault, P2pIngress};

/// What a transport's reader does with messages that came together. Leaves none of them.
pub(crate) fn take_run(
    ingress: &mut P2pIngress,
    run: &mut Vec<(u64, Bytes)>,
    now: Instant,
) -> Result<(), LinkFault> {
    for (number, bytes) in run.drain(..) {
        ingress.gather(number, bytes, now)?;
    }
    ingress.hand_over(now);
    Ok(())
}
