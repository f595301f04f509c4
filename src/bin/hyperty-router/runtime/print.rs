//! What goes out on stdout, on a thread of its own: writing to a pipe blocks.
//!
//! **One line, one JSON object.** A message's bytes are printed as they came; only line ends between its
//! tokens become blanks.

use std::{
    future::{pending, poll_fn},
    io::{self, BufWriter, Write, stdout},
    sync::Arc,
    task::Poll,
    thread,
};

use hyperty_router::{
    address::Url,
    link::{Delivery, Drained, Outbox, Path},
    message::{Message, To},
    runtime::{Event, Events, PathChanges},
    ua::PathChange,
};
use simd_json::{OwnedValue, json, prelude::Writable};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::Ended;

/// Messages printed before the other sources have their turn again, and before what was printed is flushed.
const BATCH: usize = 256;

/// A message, or a line that was to be one, that did not get where it should.
#[derive(Debug)]
pub(super) struct Refused {
    /// The JSON token that it came as.
    pub(super) id: Option<String>,
    pub(super) code: u16,
    pub(super) reason: String,
    /// The target that failed.
    pub(super) to: Option<String>,
    /// The line of the input.
    pub(super) line: Option<u64>,
}

impl Refused {
    pub(super) fn new(code: u16, reason: String) -> Self {
        Refused { id: None, code, reason, to: None, line: None }
    }

    /// A message that had been accepted.
    fn undelivered(message: &Message, code: u16) -> Self {
        let reason = match code {
            504 => "in doubt: it was sent, and nothing tells whether it arrived",
            _ => "returned: it could not be sent in time",
        };
        let to = match message.to() {
            To::One(to) => Some(to.into_owned()),
            To::Many(_) => None,
        };
        let id = message.id().map(str::to_owned);
        Refused { id, to, ..Refused::new(code, reason.into()) }
    }
}

/// What happens, besides messages.
pub(super) struct Sources {
    pub(super) events: Events,
    pub(super) refused: mpsc::Receiver<Refused>,
    /// If they are wanted.
    pub(super) paths: Option<PathChanges>,
}

/// Turns what happens into lines.
pub(super) struct Printer {
    runtime: String,
    handler: Option<String>,
    messages: Arc<Outbox<Delivery>>,
    batch: Vec<Delivery>,
    out: BufWriter<io::Stdout>,
}

/// Prints until there is nothing more to print or nobody to read it.
pub(super) fn start(mut printer: Printer, mut sources: Sources) -> io::Result<Ended> {
    let (ended, end) = oneshot::channel();
    let tokio = Handle::current();
    let print = move || {
        // A reader that went away ends the program, quietly.
        let _ = tokio.block_on(printer.print_all(&mut sources));
        let _ = ended.send(());
    };
    thread::Builder::new().name("stdout".into()).spawn(print)?;
    Ok(end)
}

impl Printer {
    pub(super) fn new(
        runtime: &Url,
        handler: Option<Url>,
        messages: Arc<Outbox<Delivery>>,
    ) -> Self {
        Printer {
            runtime: runtime.to_string(),
            handler: handler.map(|url| url.to_string()),
            messages,
            batch: Vec::with_capacity(BATCH),
            out: BufWriter::with_capacity(64 << 10, stdout()),
        }
    }

    /// Until the messages end, which is the last thing that happens.
    async fn print_all(&mut self, sources: &mut Sources) -> io::Result<()> {
        let Sources { events, refused, paths } = sources;
        loop {
            let (messages, batch) = (&self.messages, &mut self.batch);
            tokio::select! {
                Some(event) = events.next() => self.event(event)?,
                Some(refused) = refused.recv() => self.refused(&refused)?,
                Some(change) = next_path(paths) => self.path(&change)?,
                drained = next_batch(messages, batch) => {
                    self.messages()?;
                    if drained == Drained::End {
                        break;
                    }
                }
            }
            self.out.flush()?;
        }
        while let Ok(last) = refused.try_recv() {
            self.refused(&last)?;
        }
        while let Some(event) = events.try_next() {
            self.event(event)?;
        }
        self.out.flush()
    }

    fn messages(&mut self) -> io::Result<()> {
        for delivery in self.batch.drain(..) {
            print_message(&mut self.out, &delivery)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        let value = match event {
            Event::Ready => json!({ "event": "ready", "runtime": self.runtime.as_str(),
                                    "p2p_handler": self.handler.clone() }),
            Event::Status { stub, value, resource, desc: None } => {
                json!({ "event": "status", "stub": stub.as_str(), "value": value.word(),
                        "resource": resource.as_str() })
            }
            Event::Status { stub, value, resource, desc } => {
                json!({ "event": "status", "stub": stub.as_str(), "value": value.word(),
                        "resource": resource.as_str(), "desc": desc })
            }
            // Nobody typed it, and its `id` may be that of a line that somebody did type.
            Event::Undelivered { message, code } => {
                return self.refused(&Refused::undelivered(&message, code));
            }
            // Of sessions the log speaks.
            _ => return Ok(()),
        };
        writeln!(self.out, "{}", value.encode())
    }

    fn path(&mut self, change: &PathChange) -> io::Result<()> {
        let word = |path: Option<Path>| path.map(Path::word);
        let value = json!({ "event": "path", "resource": change.remote.as_str(),
                            "from": word(change.from), "to": word(change.to),
                            "why": change.why.to_string() });
        writeln!(self.out, "{}", value.encode())
    }

    fn refused(&mut self, refused: &Refused) -> io::Result<()> {
        let Refused { id, code, reason, to, line } = refused;
        // The token is JSON already, as the scan of the message has found.
        let id = id.as_deref().unwrap_or("null");
        let reason = quoted(reason);
        write!(self.out, r#"{{"event":"refused","id":{id},"code":{code},"reason":{reason}"#)?;
        if let Some(to) = to {
            write!(self.out, r#","to":{}"#, quoted(to))?;
        }
        if let Some(line) = line {
            write!(self.out, r#","line":{line}"#)?;
        }
        writeln!(self.out, "}}")
    }
}

/// Never, if nobody wants them.
async fn next_path(paths: &mut Option<PathChanges>) -> Option<PathChange> {
    match paths {
        Some(paths) => paths.next().await,
        None => pending().await,
    }
}

async fn next_batch(messages: &Outbox<Delivery>, batch: &mut Vec<Delivery>) -> Drained {
    poll_fn(|context| match messages.poll_drain(context, batch, BATCH) {
        Poll::Ready(drained) => Poll::Ready(drained),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn print_message(out: &mut impl Write, delivery: &Delivery) -> io::Result<()> {
    let message = &delivery.message;
    write!(out, r#"{{"event":"message","path":"{}","message":"#, delivery.ingress.path.word())?;
    match message.validate() {
        Ok(()) => out.write_all(&on_one_line(message.bytes()))?,
        // The router looks no closer at a body than it must; whoever reads these lines shall not stumble.
        Err(error) => {
            let text = quoted(&String::from_utf8_lossy(message.bytes()));
            write!(out, r#"null,"text":{text},"error":{}"#, quoted(&error.to_string()))?;
        }
    }
    out.write_all(b"}\n")
}

/// The same JSON without line ends. Within a string there are none, so those that are there are white space.
fn on_one_line(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return text.into();
    }
    let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    text.iter().map(blank).collect::<Vec<u8>>().into()
}

fn quoted(text: &str) -> String {
    OwnedValue::from(text).encode()
}

#[cfg(test)]
mod tests {
    use hyperty_router::link::{Ingress, LinkId, Path};

    use super::*;

    fn printed(text: &str) -> String {
        let message = Message::parse(text.to_owned().into()).unwrap();
        let ingress = Ingress { path: Path::MessageNode, link: LinkId(3) };
        let mut out = Vec::new();
        print_message(&mut out, &Delivery { message, ingress, hop: None }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_printed_as_it_came_on_one_line() {
        let text =
            r#"{ "to":"a://b/c","from":"a://b/d","type":"Update","id":1e2,"body":{"v":1.0}}"#;
        let expected =
            format!("{{\"event\":\"message\",\"path\":\"message-node\",\"message\":{text}}}\n");
        assert_eq!(printed(text), expected);
        assert_eq!(printed(&text.replace(", ", ",\r\n")).matches('\n').count(), 1);
        assert_eq!(printed(&text.replacen(' ', "\n", 1)), expected);
    }

    #[test]
    fn a_body_that_is_no_json_breaks_no_line() {
        let text = r#"{"to":"a://b/c","from":"a://b/d","type":"update","body":{"v":tru}}"#;
        let line = printed(text);
        assert!(line.starts_with(r#"{"event":"message","path":"message-node","message":null,"#));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }
}
