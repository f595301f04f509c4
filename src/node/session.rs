//! `mn:/session`: opening, re-opening and closing a session, and what becomes of it without a
//! socket.

use std::{sync::Arc, time::Instant};

use crate::{
    address::Url,
    message::{Message, respond},
    node::{
        FrameEnd, SESSION_ADDRESS,
        control::{Control, Session, Standpoint},
        metrics::DropReason,
        random::{is_uuid_shaped, uuid},
        reply::Reply,
        socket::{SessionQueue, Socket, Standing},
    },
    slab::Target,
    subscription::{Reason, Refused},
};

impl Control {
    /// Carries out one message to `mn:/session`.
    pub(super) fn session_request(
        &mut self,
        socket: &Arc<Socket>,
        message: &Message,
        now: Instant,
    ) -> FrameEnd {
        if socket.is_ended() {
            return FrameEnd::CloseSocket;
        }
        let (kind, from) = (message.kind_text(), message.from());
        let is = |word: &str| kind.eq_ignore_ascii_case(word);
        let result = if is("open") {
            self.open(socket, message, &from, now)
        } else if is("re-open") {
            self.re_open(socket, message, &from, now)
        } else if is("close") {
            self.counters.row(socket.number()).answer(200);
            self.close(socket, &from, now);
            self.end_socket(socket, now);
            return FrameEnd::CloseSocket;
        } else if is("response") || is("update") {
            self.counters.row(socket.number()).drop(DropReason::Unreachable);
            return FrameEnd::Continue;
        } else {
            let why = format_args!("`type` is \"{kind}\", a session knows open, re-open and close");
            Err(Reply::error(400, why))
        };
        if let Err(error) = result {
            self.reply(socket, message, error);
        }
        FrameEnd::Continue
    }

    /// A socket has closed. Its session, if it still stands there, waits for another one.
    pub(super) fn part(&mut self, socket: &Arc<Socket>, now: Instant) {
        let Standing::Session(target) = socket.standing() else { return };
        socket.detach();
        let deadline = now + self.limits.session_keep;
        self.session_mut(target).on = Standpoint::Dropped(deadline);
        self.dropped.insert((deadline, target));
    }

    /// A new session for the runtimeURL `runtime`. An older one of that URL ends, and what it owns
    /// passes on.
    fn open(
        &mut self,
        socket: &Arc<Socket>,
        message: &Message,
        runtime: &str,
        now: Instant,
    ) -> Result<(), Reply> {
        let runtime = self.runtime_url(runtime)?;
        let old = self.by_runtime.get(&runtime).copied();
        let (wanted, max) = (self.sessions.len() + 1, self.limits.sessions_max);
        if old.is_none() && wanted > max {
            return Err(Refused::OverQuota { wanted, max }.into());
        }
        self.part(socket, now);
        let queue = SessionQueue::new(self.limits.queue_items_max, self.limits.queue_bytes_max);
        let queue = Arc::new(queue);
        let target = self.queues.insert(Arc::clone(&queue));
        let token = uuid(&mut self.random);
        let mut session = Session {
            runtime: runtime.clone(),
            token: token.clone(),
            queue: Arc::clone(&queue),
            on: Standpoint::Socket(Arc::clone(socket)),
            allocations: Default::default(),
        };
        if let Some(old) = old {
            session.allocations = self.supersede(old, target);
        }
        self.sessions.insert(target, session);
        self.by_token.insert(token.clone(), target);
        self.by_runtime.insert(runtime.clone(), target);
        // The reply goes first: nobody can send to the session before it is in the table.
        self.reply(socket, message, Reply::ok().with("runtimeToken", token));
        socket.attach(target, queue);
        self.manager.own(&mut self.fib, target, &runtime, Reason::Runtime);
        self.fib.publish();
        Ok(())
    }

    /// Ends `old` in favour of `new`, which gets what it owns and, returned, its allocations.
    fn supersede(&mut self, old: Target, new: Target) -> super::allocated::Allocations {
        self.manager.supersede(&mut self.fib, old, new);
        let Some(session) = self.forget(old) else { return Default::default() };
        if let Standpoint::Socket(socket) = &session.on {
            socket.end();
        }
        session.allocations
    }

    /// Takes the session named by the token over to this socket; one that is unknown is opened
    /// anew.
    fn re_open(
        &mut self,
        socket: &Arc<Socket>,
        message: &Message,
        from: &str,
        now: Instant,
    ) -> Result<(), Reply> {
        let (runtime, token) = split_token(from);
        let Some(target) = token.and_then(|token| self.by_names(runtime, token)) else {
            return self.open(socket, message, runtime, now);
        };
        if socket.standing() != Standing::Session(target) {
            self.part(socket, now);
        }
        match &self.session(target).on {
            Standpoint::Socket(old) if !Arc::ptr_eq(old, socket) => {
                old.end();
            }
            Standpoint::Socket(_) => {}
            Standpoint::Dropped(deadline) => {
                self.dropped.remove(&(*deadline, target));
            }
        }
        self.reply(socket, message, Reply::ok());
        if socket.standing() != Standing::Session(target) {
            socket.attach(target, Arc::clone(&self.session(target).queue));
            self.session_mut(target).on = Standpoint::Socket(Arc::clone(socket));
        }
        Ok(())
    }

    /// Frees the session that the token names, or, without a token, the one of that runtimeURL that
    /// stands on this very socket.
    fn close(&mut self, socket: &Arc<Socket>, from: &str, now: Instant) {
        let (runtime, token) = split_token(from);
        let here = match socket.standing() {
            Standing::Session(here) => {
                Some(here).filter(|here| self.session(*here).runtime.as_str() == trimmed(from))
            }
            _ => None,
        };
        let named = token.and_then(|token| self.by_names(runtime, token)).or(here);
        let Some(named) = named else { return };
        let on = match &self.session(named).on {
            Standpoint::Socket(on) => Some(Arc::clone(on)),
            Standpoint::Dropped(_) => None,
        };
        self.end_session(named, now);
        on.into_iter().for_each(|on| {
            on.end();
        });
    }

    /// The socket that asked for a close ends, whatever the close named: a session that stands on it still
    /// waits for another one, as after any lost socket.
    fn end_socket(&mut self, socket: &Arc<Socket>, now: Instant) {
        if !socket.is_ended() {
            self.part(socket, now);
            socket.end();
        }
    }

    /// The session that has both this runtimeURL and this token.
    fn by_names(&self, runtime: &str, token: &str) -> Option<Target> {
        let target = *self.by_token.get(token)?;
        (self.session(target).runtime.as_str() == runtime).then_some(target)
    }

    /// A runtimeURL that a session may have: not bare, and not the node's own.
    fn runtime_url(&self, text: &str) -> Result<Url, Reply> {
        let url =
            Url::parse(text).map_err(|error| Reply::error(400, format_args!("`from`: {error}")))?;
        if url.address().is_bare() {
            return Err(Reply::error(400, "`from`: a URL without a path can't have a session"));
        }
        if self.manager.is_reserved(&url.address()) {
            return Err(Reply::error(400, "`from`: this is the Message Node's own address"));
        }
        Ok(url)
    }

    /// Replies from `mn:/session`, ahead of whatever else the socket is to write.
    fn reply(&self, socket: &Socket, message: &Message, reply: Reply) {
        let row = self.counters.row(socket.number());
        row.answer(reply.code);
        let code = reply.code;
        let response = respond(message, SESSION_ADDRESS, code, Some(reply.into_members()));
        if !socket.reply(response.into_bytes()) {
            row.drop(DropReason::ReplyLost);
        }
    }
}

/// `<runtimeURL>` and the token behind it: the last segment is one if and only if it is
/// UUID-shaped. A token stands behind a runtimeURL, so what would leave none,
/// `<scheme>://<domain>`, has no token.
fn split_token(from: &str) -> (&str, Option<&str>) {
    let from = trimmed(from);
    match from.rsplit_once('/') {
        Some((runtime, token)) if is_uuid_shaped(token) && has_path(runtime) => {
            (runtime, Some(token))
        }
        _ => (from, None),
    }
}

fn trimmed(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_is_a_token_if_it_is_uuid_shaped() {
        let token = "01234567-89ab-4def-8bcd-0123456789ab";
        let runtime = "hyperty-runtime://a.com/1";
        assert_eq!(split_token(&format!("{runtime}/{token}")), (runtime, Some(token)));
        assert_eq!(split_token(&format!("{runtime}/{token}/")), (runtime, Some(token)));
        assert_eq!(split_token(runtime), (runtime, None));
        assert_eq!(
            split_token("runtime://a.com/1/undefined"),
            ("runtime://a.com/1/undefined", None)
        );
        let itself = format!("hyperty-runtime://a.com/{token}");
        assert_eq!(split_token(&itself), (itself.as_str(), None));
    }
}
