//! Seeds that found something, each with its story. A change of what the simulation draws takes their meaning
//! away; then they are seeds like all others, and what tests of their own hold (`tests/handover/laws.rs`,
//! `tests/handover_lives.rs`) stays.

use hyperty_router::handover::Mutation;

use super::run::run;

fn holds(seed: u64) {
    if let Err(what) = run(seed, Mutation::None, false) {
        panic!("seed {seed}: {what}");
    }
}

/// The direct connection to a new process was live before the old stream had ended, so the answer to its
/// subscription went into a stream that nobody knew; its Registry never learnt the peer's Hyperties. Now a
/// live connection ends what was agreed with another life, and a subscription without an answer is asked
/// again.
#[test]
fn the_registry_learns_though_an_answer_was_lost_with_an_old_stream() {
    holds(133);
}

/// Both runtimes gave their own set-up up for the other's, one since its URL is higher, the other since it
/// had invited an earlier life. Both then waited for the other to try again.
#[test]
fn two_runtimes_that_yield_to_each_other_try_again() {
    holds(1054);
}

/// A Message Node forgot everything while a stub's queue was full. The registrations that it should have
/// heard first found no room, and were said half a minute later; until then nobody could be reached by it.
#[test]
fn a_forgetful_message_node_hears_of_a_runtime_whose_stub_is_full() {
    holds(3773);
}

/// A Message Node that forgot knew one of two Hyperties again before the other, so every other message was
/// lost, and each gap cost a round trip of more than half a second (see `many_gaps_are_filled_at_once`).
#[test]
fn many_gaps_by_a_slow_message_node_are_filled_in_time() {
    holds(12_825);
}

/// A Message Node forgot everything, and the first sockets to it broke before the registrations and paths had
/// arrived. The sessions were opened again by their tokens, so nothing was said again for 15 s (see
/// `tests/whole_node.rs`).
#[test]
fn a_message_node_that_forgot_hears_of_runtimes_though_a_socket_broke() {
    holds(82_368);
}

/// By a Message Node with round trips of more than a second, an acknowledgement was under way when the sender
/// gave the message up. It came in time and counted for nothing (see
/// `an_acknowledgement_that_crossed_the_fence_counts`).
#[test]
fn an_acknowledgement_by_a_slow_message_node_counts_though_it_crossed_the_fence() {
    holds(189_806);
}

/// Messages stayed behind a barrier, on a stub whose Message Node was away and had forgotten the receiver when
/// it came back. Then the barrier was lifted; but by then the same had been asked for so often that the answer
/// waited two seconds more, and the fence came first (see
/// `what_a_barrier_kept_is_sent_again_as_soon_as_it_is_lifted`).
#[test]
fn what_a_barrier_kept_arrives_though_the_message_node_forgot() {
    holds(517_357);
    holds(525_175);
}

/// A plain message waited in a Message Node for the socket of its receiver. A message to the same address was
/// numbered seven seconds later, and overtook it at once: the barrier lapsed for another one, which had waited
/// since before the plain one was posted (see
/// `a_barrier_lapses_for_what_has_waited_and_not_for_what_came_later`).
#[test]
fn a_barrier_that_lapses_lets_nothing_pass_that_came_later() {
    [552_172, 557_110, 573_820].into_iter().for_each(holds);
}
