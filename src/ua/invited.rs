//! Invitations to our stubs: what is believed of them, and when a new connection takes an old one's
//! place.
//!
//! Anybody can send an invitation in another runtime's name. **Nothing that stands changes before
//! proof**: while a set-up or a connection to that runtime stands, or one of ours is due, an
//! invitation begins a *contender*. It signals as any set-up does but fires nothing, ends nothing
//! and hides nothing. The proof is the 200 of the Requester stub to our own invitation, which goes
//! to that stub by the Message Node: only its runtime gets it, and it denies what it has not begun.
//! Then what stood ends, and the contender takes its place.

use std::time::Instant;

use crate::{
    address::Url,
    limits,
    link::Delivery,
    message::Message,
    p2p::{Invitation, Setup, SignallingError, Transport},
    registry::connections::Role,
    status::Status,
    ua::{RuntimeUa, Stubs, attempts::Attempt},
};

impl RuntimeUa {
    /// Somebody invites one of our stubs to observe a Connection object.
    pub(super) fn on_invitation(
        &mut self,
        stub: &Url,
        role: Role,
        delivery: &Delivery,
        now: Instant,
    ) {
        let message = &delivery.message;
        if self.config.stubs == Stubs::Played {
            return self.respond(message, 200, None, now);
        }
        let body = message.body_value();
        let invitation = match Invitation::read(&message.from(), body.as_ref()) {
            Ok(invitation) => invitation,
            Err(error) => return self.answer(message, 400, &error.to_string(), now),
        };
        match role {
            Role::Handler => self.on_invited(stub, &invitation, message, now),
            Role::Requester => self.on_mirrored(stub, &invitation, message, now),
        }
    }

    /// An invitation that nobody has answered went to an earlier life of `remote`: it is given up,
    /// and soon sent again.
    pub(super) fn invite_anew(&mut self, remote: &Url, now: Instant) {
        let unanswered = |of: &Attempt| {
            of.role == Role::Requester && of.remote == *remote && of.status == Status::Created
        };
        let attempt = self.attempts.iter().find(|(_, of)| unanswered(of)).map(|(id, _)| *id);
        if let (Some(attempt), Some(state)) = (attempt, self.remotes.get_mut(remote)) {
            state.retries = 0;
            self.end_attempt(attempt, "the invitation went to an earlier life of the runtime", now);
        }
    }

    fn on_invited(&mut self, stub: &Url, invitation: &Invitation, message: &Message, now: Instant) {
        let remote = invitation.runtime.clone();
        let Some(local) = self.local.clone() else {
            return self.answer(message, 503, "no P2P transport is up", now);
        };
        if !invitation.transports.contains(&Transport::Quic) {
            let error = SignallingError::NoCommonTransport.to_string();
            return self.answer(message, 400, &error, now);
        }
        if let Some(same) = self.invited_before(&remote, invitation) {
            let agree = self.attempts.get(&same).map(|of| of.setup.agree(message.clone()));
            return self.perform(same, agree.into_iter().collect(), now);
        }
        if self.attempts.len() >= limits::P2P_CONNECTIONS_MAX || self.remote(&remote, now).is_none()
        {
            return self.answer(message, 503, "over the bound of connections", now);
        }
        if self.goes_first(&remote, invitation.incarnation) {
            return self.answer(message, 409, "our own set-up to your runtime goes on", now);
        }
        self.make_room_for_contender(&remote, now);
        let ours_is_due = self.remotes.get(&remote).is_some_and(|of| of.retry_at.is_some());
        let standing = !ours_is_due && !self.has_connection(&remote);
        let party = self.party(stub);
        let (setup, actions) = Setup::accept(party, message.clone(), invitation, local);
        let generation = if standing { self.next_generation(stub, &remote) } else { 0 };
        let id = self.add_attempt(Role::Handler, (stub, &remote), setup, now);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.generation = generation;
            attempt.standing = standing;
            attempt.incarnation = invitation.incarnation;
            attempt.deadline = Some(now + limits::PROOF_TIMEOUT);
        }
        self.perform(id, actions, now);
    }

    /// The Requester stub has confirmed that it began this set-up: what stood until now makes room.
    /// False if a set-up of our own goes first, and this one has ended.
    pub(super) fn prove(&mut self, attempt: u64, now: Instant) -> bool {
        let Some(state) = self.attempts.get(&attempt) else { return false };
        let (stub, remote) = (state.stub.clone(), state.remote.clone());
        let (standing, incarnation) = (state.standing, state.incarnation);
        if self.goes_first(&remote, incarnation) {
            self.end_attempt(attempt, "our own set-up to that runtime goes on", now);
            return false;
        }
        if !standing {
            self.end_standing(&remote, now);
            let generation = self.next_generation(&stub, &remote);
            if let Some(state) = self.attempts.get_mut(&attempt) {
                state.standing = true;
                state.generation = generation;
            }
            self.set_status(attempt, Status::Created, None, now);
        }
        if let Some(state) = self.attempts.get_mut(&attempt) {
            state.deadline = Some(now + limits::SETUP_TIMEOUT);
        }
        if let Some(state) = self.remotes.get_mut(&remote) {
            state.retry_at = None;
            state.incarnation = incarnation;
        }
        true
    }

    /// How many invitations in the name of `remote` wait for their proof beside what stands.
    pub(super) fn contenders(&self, remote: &Url) -> usize {
        let is = |of: &&Attempt| !of.standing && of.remote == *remote;
        self.attempts.values().filter(is).count()
    }

    /// The oldest gives way: a genuine one is proven before many more can have come, and a flood of
    /// others has no more room than that.
    fn make_room_for_contender(&mut self, remote: &Url, now: Instant) {
        let is = |of: &Attempt| !of.standing && of.remote == *remote;
        let contenders = self.attempts.iter().filter(|(_, of)| is(of)).map(|(id, _)| *id);
        let contenders: Vec<u64> = contenders.collect();
        if contenders.len() >= limits::CONTENDERS_MAX
            && let Some(oldest) = contenders.into_iter().min()
        {
            self.end_attempt(oldest, "later ones took its place", now);
        }
    }

    fn end_standing(&mut self, remote: &Url, now: Instant) {
        let is = |of: &Attempt| of.standing && of.remote == *remote;
        let old: Vec<u64> =
            self.attempts.iter().filter(|(_, of)| is(of)).map(|(id, _)| *id).collect();
        for id in old {
            self.end_attempt(id, "superseded: the other side has set up anew", now);
        }
    }

    /// The set-up that this very invitation began.
    fn invited_before(&self, remote: &Url, invitation: &Invitation) -> Option<u64> {
        let is = |of: &Attempt| {
            of.role == Role::Handler
                && of.remote == *remote
                && of.setup.peer_stub() == &invitation.reporter
                && of.setup.their_object() == Some(&invitation.object)
        };
        self.attempts.iter().find(|(_, of)| is(of)).map(|(id, _)| *id)
    }

    /// When both sides set up at once, the runtime whose URL is lower stays Requester. Not so if
    /// our invitation, which nobody has answered, went to an earlier life of the other side; and a
    /// connection that is live is no set-up any more: if the other side proves that it sets up
    /// anew, it is over.
    fn goes_first(&self, remote: &Url, incarnation: Option<u128>) -> bool {
        let requester = self.remotes.get(remote).and_then(|state| state.requester.as_ref());
        let own = requester.and_then(|stub| self.attempt_of(stub, remote));
        let Some(own) = own.and_then(|id| self.attempts.get(&id)) else { return false };
        let known = self.remotes.get(remote).and_then(|state| state.incarnation);
        let is_another = known.is_some() && incarnation.is_some_and(|of| known != Some(of));
        let went_astray = own.status == Status::Created && is_another;
        own.status != Status::Live && self.config.runtime < *remote && !went_astray
    }

    fn on_mirrored(&mut self, stub: &Url, of: &Invitation, message: &Message, now: Instant) {
        let attempt = self.attempt_of(stub, &of.runtime);
        let Some((id, state)) = attempt.and_then(|id| Some((id, self.attempts.get_mut(&id)?)))
        else {
            return self.answer(message, 404, "no set-up to that runtime is under way", now);
        };
        match state.setup.on_mirrored(message.clone(), of) {
            Ok(actions) => {
                if let Some(state) = self.remotes.get_mut(&of.runtime) {
                    state.incarnation = of.incarnation;
                }
                self.perform(id, actions, now);
            }
            Err(error) => self.answer(message, 400, &error.to_string(), now),
        }
    }
}
