//! One set-up of a direct connection, seen from one side.
//!
//! Both sides do the same with parts exchanged: each reports one Connection object and observes the other's.
//!
//! ```text
//! Requester                                   Handler
//!   allocate object R
//!   create  R/subscription → Handler  ─────►  200 with a token, `created`; subscribes R/changes at its MN
//!   in-progress on the 200            ◄─────  subscribe → R/subscription
//!   200 with offer and candidates     ─────►  allocates object H
//!   200                               ◄─────  create H/subscription → Requester, with the token
//!                                             expects the offer's key on that 200
//!   subscribe → H/subscription        ─────►  in-progress on the 200; 200 with answer and candidates
//!   dials                             ─────►  probe, answered both ways: `live`
//! ```
//!
//! **A key is believed when the Requester stub has confirmed the set-up.** Anybody can send an invitation
//! that names another runtime's stub as its reporter; only that runtime gets what is sent to the stub, and it
//! denies what it has not begun. So the Handler lets nobody in before its own invitation was answered 200.
//!
//! **An object is believed when its invitation has the token.** Anybody can as well invite the
//! Requester in the Handler's name; only the Requester got the Handler's 200, with a random token
//! in it, and only the Handler can repeat that. Without it nobody could tell whose key the
//! Requester is about to dial.
//!
//! The machine is told what arrived and returns [`Action`]s. It keeps no time: that a request got no answer
//! is for its owner to notice, who then lets it go.

use std::sync::Arc;

use simd_json::{OwnedValue, json, prelude::*};

use crate::{
    address::Url,
    limits,
    message::Message,
    p2p::signalling::{
        Candidate, Description, Invitation, SignallingError, Transport, is_capable, read_token,
        write_token, wrong,
    },
    registry::connections::Role,
    status::Status,
};

/// Which request of a set-up a response answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Address allocation for our Connection object.
    Allocate,
    /// Our invitation.
    Invite,
    /// Our subscription to `<their object>/changes` at the Message Node.
    Changes,
    /// Our subscription to `<their object>/subscription`.
    Observe,
}

impl Step {
    /// What was asked, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Step::Allocate => "the allocation of a Connection object",
            Step::Invite => "the invitation",
            Step::Changes => "the subscription to the Connection object's changes",
            Step::Observe => "the subscription to the Connection object",
        }
    }
}

/// What the owner of a [`Setup`] has to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a request and bring its response to [`Setup::on_response`] with this step.
    Request {
        /// Which step.
        step: Step,
        /// `type`.
        kind: &'static str,
        /// `from`.
        from: String,
        /// `to`.
        to: String,
        /// `body`.
        body: OwnedValue,
    },
    /// Answer a request.
    Respond {
        /// The request.
        request: Message,
        /// `body.code`.
        code: u16,
        /// Further members of the body.
        members: Option<OwnedValue>,
    },
    /// Send an update that nobody answers.
    Tell {
        /// `from`.
        from: String,
        /// `to`.
        to: String,
        /// `body`.
        body: OwnedValue,
    },
    /// Listen on our Connection object.
    Listen(Url),
    /// Fire a status event.
    Status(Status),
    /// Let the peer with this key in.
    Expect(String),
    /// Dial these candidates; the peer must have this key.
    Dial(Description),
}

/// Who we are in a set-up.
#[derive(Clone, Debug)]
pub struct Party {
    /// Our stub.
    pub stub: Url,
    /// Our runtime.
    pub runtime: Url,
    /// The process life of our runtime.
    pub incarnation: u128,
    /// 128 random bits of this set-up, which a Handler has the Requester know it by.
    pub token: u128,
}

/// The state of one set-up.
#[derive(Debug)]
pub struct Setup {
    role: Role,
    party: Party,
    /// Their stub: the Handler stub's URL, or the Requester stub that invited.
    peer_stub: Url,
    /// Shared by the set-ups, as long as no candidate is added.
    ours: Arc<Description>,
    own_object: Option<Url>,
    their_object: Option<Url>,
    /// The other side has announced the hand-over.
    capable: bool,
    /// What their object says, once it has been read.
    theirs: Option<Description>,
    /// The other side has read what our object says.
    observed: bool,
    /// The Handler has answered our invitation, and with this token.
    answered: Option<Option<u128>>,
}

impl Setup {
    /// A Requester's: the set-up of a connection to the runtime whose Handler stub is `handler`.
    pub fn request(party: Party, handler: Url, ours: Arc<Description>) -> (Self, Vec<Action>) {
        let setup = Setup::new(Role::Requester, party, handler, ours);
        let allocate = setup.allocate();
        (setup, vec![allocate])
    }

    /// A Handler's: the answer to `request`, an invitation that has been read.
    pub fn accept(
        party: Party,
        request: Message,
        invitation: &Invitation,
        ours: Arc<Description>,
    ) -> (Self, Vec<Action>) {
        let peer_stub = invitation.reporter.clone();
        let mut setup = Setup::new(Role::Handler, party, peer_stub, ours);
        setup.capable = invitation.handover;
        setup.their_object = Some(invitation.object.clone());
        let mut actions = vec![setup.agree(request), Action::Status(Status::Created)];
        actions.extend(setup.observe(&invitation.object));
        (setup, actions)
    }

    /// The Handler's 200 to an invitation; the same again if the same invitation comes again.
    pub fn agree(&self, request: Message) -> Action {
        let members = json!({ "value": {
            "handover": 1,
            "transport": Transport::Quic.word(),
            "token": write_token(self.party.token),
        }});
        Action::Respond { request, code: 200, members: Some(members) }
    }

    /// True if the other side can move messages between paths.
    pub fn is_capable(&self) -> bool {
        self.capable
    }

    /// The other side's stub.
    pub fn peer_stub(&self) -> &Url {
        &self.peer_stub
    }

    /// Our Connection object, once allocated.
    pub fn own_object(&self) -> Option<&Url> {
        self.own_object.as_ref()
    }

    /// The other side's Connection object, once known.
    pub fn their_object(&self) -> Option<&Url> {
        self.their_object.as_ref()
    }

    /// The response (2XX) to the request of `step`.
    ///
    /// # Errors
    /// [`SignallingError`]: the set-up has failed.
    pub fn on_response(
        &mut self,
        step: Step,
        body: Option<&OwnedValue>,
    ) -> Result<Vec<Action>, SignallingError> {
        match step {
            Step::Allocate => self.on_allocated(body),
            Step::Invite => self.on_agreed(body),
            Step::Changes => Ok(vec![]),
            Step::Observe => self.on_described(body),
        }
    }

    /// Who was asked for `step`, if it is a part of the other side; the Message Node's services are
    /// not.
    pub fn asked(&self, step: Step) -> Option<String> {
        match step {
            Step::Allocate | Step::Changes => None,
            Step::Invite => Some(self.peer_stub.to_string()),
            Step::Observe => self.their_object.as_ref().map(|of| format!("{of}/subscription")),
        }
    }

    /// The other side observes our object: `subscribe` to `<our object>/subscription`.
    pub fn on_observed(&mut self, request: Message) -> Vec<Action> {
        self.observed = true;
        let members = Some(self.ours.write(self.own_kind()));
        vec![Action::Respond { request, code: 200, members }]
    }

    /// The Handler invites us, the Requester, to its own object.
    ///
    /// # Errors
    /// [`SignallingError`] if it is not the Handler that we invited.
    pub fn on_mirrored(
        &mut self,
        request: Message,
        invitation: &Invitation,
    ) -> Result<Vec<Action>, SignallingError> {
        if invitation.reporter != self.peer_stub || self.role != Role::Requester {
            return Err(SignallingError::Wrong {
                member: "reporter",
                expected: format!("`{}`", self.peer_stub),
            });
        }
        if self.answered.is_none_or(|token| token.is_some() && token != invitation.token) {
            return Err(wrong("token", "that of the answer to our invitation"));
        }
        let members = Some(json!({ "value": { "handover": 1 } }));
        let mut actions = vec![Action::Respond { request, code: 200, members }];
        match self.their_object.replace(invitation.object.clone()) {
            // It had come before.
            Some(known) if known == invitation.object => {}
            Some(known) => {
                let expected = format!("`{known}`, as before");
                self.their_object = Some(known);
                return Err(SignallingError::Wrong { member: "url", expected });
            }
            None => actions.extend(self.observe(&invitation.object)),
        }
        self.capable |= invitation.handover;
        Ok(actions)
    }

    /// An `update` to `<their object>/changes` brings one more candidate: what a Requester dials then. A
    /// Handler waits to be dialled and needs none.
    ///
    /// # Errors
    /// [`SignallingError`] if it is no candidate.
    pub fn on_change(
        &mut self,
        body: Option<&OwnedValue>,
    ) -> Result<Option<Description>, SignallingError> {
        let Some(body) = body else { return Ok(None) };
        let attribute = body.get("attribute").and_then(|word| word.as_str()).unwrap_or("");
        let Some(value) = body.get("value").filter(|_| attribute.starts_with("iceCandidates"))
        else {
            return Ok(None);
        };
        let candidate = Candidate::read(value)?;
        let Some(theirs) = self.theirs.as_mut().filter(|_| self.role == Role::Requester) else {
            return Ok(None);
        };
        if theirs.candidates.len() >= limits::CANDIDATES_MAX {
            return Ok(None);
        }
        theirs.candidates.push(candidate);
        Ok(Some(Description { candidates: vec![candidate], ..theirs.clone() }))
    }

    /// The connection is up: how the other side can be reached is no longer kept.
    pub fn on_connected(&mut self) {
        if let Some(theirs) = &mut self.theirs {
            (theirs.fingerprint, theirs.candidates) = (String::new(), Vec::new());
        }
    }

    /// We can be reached at `candidates` now: those that are new are told to whoever has read our
    /// object, as `update`s to `<our object>/changes`; who reads it later reads them there.
    pub fn set_candidates(&mut self, candidates: &[Candidate]) -> Vec<Action> {
        let mut told = Vec::new();
        for candidate in candidates {
            let ours = &self.ours.candidates;
            if ours.contains(candidate) || ours.len() >= limits::CANDIDATES_MAX {
                continue;
            }
            let ours = &mut Arc::make_mut(&mut self.ours).candidates;
            let attribute = format!("iceCandidates.{}", ours.len());
            ours.push(*candidate);
            let Some(object) = self.own_object.as_ref().filter(|_| self.observed) else { continue };
            told.push(Action::Tell {
                from: self.party.stub.to_string(),
                to: format!("{object}/changes"),
                body: json!({
                    "attribute": attribute,
                    "attributeType": "array",
                    "operation": "add",
                    "value": candidate.write(),
                }),
            });
        }
        told
    }

    /// What tidies up after the set-up or the connection it made: our object is given back, our subscription
    /// to theirs ended. Nobody waits for the answers.
    pub fn tidy_up(&self) -> Vec<(&'static str, String, OwnedValue)> {
        let mut requests = Vec::new();
        if let Some(object) = &self.their_object {
            let changes = format!("{object}/changes");
            let to = subscription_manager(object);
            requests.push(("unsubscribe", to, json!({ "unsubscribe": [changes] })));
        }
        if let Some(object) = &self.own_object {
            let body = json!({ "childrenResources": [object.as_str()] });
            requests.push(("delete", allocation_service(object), body));
        }
        requests
    }

    fn new(role: Role, party: Party, peer_stub: Url, ours: Arc<Description>) -> Self {
        Setup {
            role,
            party,
            peer_stub,
            ours,
            own_object: None,
            their_object: None,
            capable: false,
            theirs: None,
            observed: false,
            answered: None,
        }
    }

    fn own_kind(&self) -> &'static str {
        match self.role {
            Role::Requester => "offer",
            Role::Handler => "answer",
        }
    }

    fn their_kind(&self) -> &'static str {
        match self.role {
            Role::Requester => "answer",
            Role::Handler => "offer",
        }
    }

    fn allocate(&self) -> Action {
        Action::Request {
            step: Step::Allocate,
            kind: "create",
            from: self.party.stub.to_string(),
            to: allocation_service(&self.party.runtime),
            body: json!({ "scheme": "connection", "value": { "number": 1 } }),
        }
    }

    fn on_allocated(&mut self, body: Option<&OwnedValue>) -> Result<Vec<Action>, SignallingError> {
        let object = body
            .and_then(|body| body.get("value"))
            .and_then(|value| value.get("allocated"))
            .and_then(|list| list.get_idx(0))
            .and_then(|first| first.as_str())
            .ok_or(SignallingError::Missing { member: "value.allocated" })?;
        let object = Url::parse(object).map_err(|error| SignallingError::Wrong {
            member: "value.allocated",
            expected: format!("a URL address ({error})"),
        })?;
        self.own_object = Some(object.clone());
        let invitation = Invitation {
            reporter: self.party.stub.clone(),
            runtime: self.party.runtime.clone(),
            object: object.clone(),
            transports: vec![Transport::Quic],
            handover: true,
            incarnation: Some(self.party.incarnation),
            token: (self.role == Role::Handler).then_some(self.party.token),
        };
        let invite = Action::Request {
            step: Step::Invite,
            kind: "create",
            from: format!("{object}/subscription"),
            to: self.peer_stub.to_string(),
            body: invitation.write(),
        };
        Ok(vec![Action::Listen(object), invite])
    }

    /// The Reporter–Observer pattern: updates by the Message Node, the present state from the reporter.
    fn observe(&self, object: &Url) -> [Action; 2] {
        let changes = format!("{object}/changes");
        let body = json!({ "subscribe": [changes], "source": self.party.stub.as_str() });
        [
            Action::Request {
                step: Step::Changes,
                kind: "subscribe",
                from: self.party.stub.to_string(),
                to: subscription_manager(object),
                body,
            },
            Action::Request {
                step: Step::Observe,
                kind: "subscribe",
                from: self.party.stub.to_string(),
                to: format!("{object}/subscription"),
                body: json!({}),
            },
        ]
    }

    /// Our invitation was answered 200: what a Handler waited for before it lets the other's key
    /// in.
    fn on_agreed(&mut self, body: Option<&OwnedValue>) -> Result<Vec<Action>, SignallingError> {
        let value = body.and_then(|body| body.get("value"));
        self.capable |= value.is_some_and(is_capable);
        self.answered = Some(value.map(read_token).transpose()?.flatten());
        let expected = self.theirs.as_ref().filter(|_| self.role == Role::Handler);
        let expect = expected.map(|theirs| Action::Expect(theirs.fingerprint.clone()));
        Ok([Action::Status(Status::InProgress)].into_iter().chain(expect).collect())
    }

    fn on_described(&mut self, body: Option<&OwnedValue>) -> Result<Vec<Action>, SignallingError> {
        let description = Description::read(body, self.their_kind())?;
        if self.theirs.replace(description.clone()).is_some() {
            return Ok(vec![]);
        }
        Ok(match self.role {
            // Without a candidate yet, the updates of their object bring the first.
            Role::Requester if description.candidates.is_empty() => vec![],
            Role::Requester => vec![Action::Dial(description)],
            Role::Handler => vec![self.allocate()],
        })
    }
}

fn subscription_manager(of: &Url) -> String {
    format!("domain://msg-node.{}/sm", of.address().domain())
}

fn allocation_service(of: &Url) -> String {
    format!("domain://msg-node.{}/address-allocation", of.address().domain())
}
