//! What is done with a line of the input: a message is posted, a command carried out, anything else refused.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use hyperty_router::{
    address::Url,
    bus::PostError,
    link::{Delivery, Outbox},
    message::{Message, ParseLimits, To, salvage},
    registry::ListenerKey,
    runtime::Runtime,
};
use simd_json::prelude::{ValueAsScalar, ValueObjectAccess};
use tokio::sync::mpsc;

use super::{
    lines::{Line, Text},
    print::Refused,
};

/// Posts lines for one runtime.
pub(super) struct Posting {
    runtime: Runtime,
    hyperties: BTreeMap<Url, ListenerKey>,
    /// Where the Hyperties' messages go.
    messages: Arc<Outbox<Delivery>>,
    refusals: mpsc::Sender<Refused>,
    limits: ParseLimits,
}

impl Posting {
    pub(super) fn new(
        runtime: Runtime,
        messages: Arc<Outbox<Delivery>>,
        refusals: mpsc::Sender<Refused>,
        bytes_max: usize,
    ) -> Self {
        let limits = ParseLimits { bytes_max, ..ParseLimits::default() };
        Posting { runtime, hyperties: BTreeMap::new(), messages, refusals, limits }
    }

    /// Until the input ends.
    pub(super) async fn post_all(&mut self, lines: &mut mpsc::Receiver<Line>) {
        while let Some(line) = lines.recv().await {
            let number = line.number;
            for refused in self.take(line.text).await {
                // Without a printer the program ends.
                let _ = self.refusals.send(Refused { line: Some(number), ..refused }).await;
            }
        }
    }

    /// Drains and ends everything.
    pub(super) async fn finish(self, within: Duration) {
        self.runtime.shut_down(within).await;
    }

    /// Adds a Hyperty.
    pub(super) fn add(&mut self, url: Url) -> Result<(), String> {
        check_hyperty(&url, self.runtime.url())?;
        if self.hyperties.contains_key(&url) {
            return Err(format!("{url} lives here already"));
        }
        let key = self.runtime.add_hyperty_sink(url.clone(), self.messages.clone());
        self.hyperties.insert(url, key);
        Ok(())
    }

    async fn take(&mut self, text: Text) -> Vec<Refused> {
        match text {
            Text::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Vec::new(),
            Text::Whole(bytes) => self.take_line(bytes).await,
            Text::TooLong(bytes) => {
                let bytes_max = self.limits.bytes_max;
                let reason = format!("message of {bytes} bytes, at most {bytes_max} are allowed");
                vec![Refused::new(413, reason)]
            }
            Text::Failed(error) => vec![Refused::new(400, format!("stdin: {error}"))],
        }
    }

    async fn take_line(&mut self, bytes: Bytes) -> Vec<Refused> {
        match Message::parse_with(bytes.clone(), &self.limits) {
            Ok(message) => self.post(message).await,
            Err(error) => match Command::read(&bytes) {
                Some(command) => self.carry_out(command).err().into_iter().collect(),
                None => {
                    let id = salvage(&bytes).map(|(id, _)| id);
                    let error = PostError::NotAMessage(error);
                    vec![Refused { id, ..Refused::new(error.code(), error.to_string()) }]
                }
            },
        }
    }

    /// One refusal for each target that failed.
    async fn post(&self, message: Message) -> Vec<Refused> {
        let id = message.id().map(str::to_owned);
        let refused = |to: Option<String>, error: &PostError| Refused {
            id: id.clone(),
            to,
            ..Refused::new(error.code(), error.to_string())
        };
        let posted = match self.runtime.post_when_room(message.bytes().clone()).await {
            Ok(posted) => posted,
            Err(error) => return vec![refused(None, &error)],
        };
        let failed = posted.targets.iter().enumerate();
        let failed = failed.filter_map(|(at, target)| Some((at, target.as_ref().err()?)));
        failed.map(|(at, error)| refused(Some(target(&message, at)), error)).collect()
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Refused> {
        let refused = |code, reason| Err(Refused::new(code, reason));
        match command {
            Command::Add(url) => self.add(url).map_err(|reason| Refused::new(400, reason)),
            Command::Remove(url) => match self.hyperties.remove(&url) {
                Some(key) => {
                    self.runtime.remove_hyperty_sink(&key);
                    Ok(())
                }
                None => refused(404, format!("{url} does not live here")),
            },
            Command::Wrong(reason) => refused(400, reason),
        }
    }
}

/// Why no Hyperty or data object of `runtime` can live at `url`.
pub(super) fn check_hyperty(url: &Url, runtime: &Url) -> Result<(), String> {
    let address = url.address();
    if address.is_bare() {
        return Err("there is nothing behind the domain".into());
    }
    if runtime.address().covers(&address) || address.covers(&runtime.address()) {
        return Err("it is the runtime's own".into());
    }
    Ok(())
}

/// A line that is no message but has the member `command`.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Add(Url),
    Remove(Url),
    Wrong(String),
}

impl Command {
    fn read(line: &[u8]) -> Option<Command> {
        // Parsing takes the text apart in place.
        let mut line = line.to_vec();
        let object = simd_json::to_borrowed_value(&mut line).ok()?;
        let word = object.get("command")?;
        let Some(url) = object.get("hyperty").and_then(|url| url.as_str()) else {
            return Some(Command::Wrong("a command has a string `hyperty`".into()));
        };
        let url = match Url::parse(url) {
            Ok(url) => url,
            Err(error) => return Some(Command::Wrong(format!("`hyperty`: {error}"))),
        };
        Some(match word.as_str() {
            Some("add") => Command::Add(url),
            Some("remove") => Command::Remove(url),
            _ => Command::Wrong("`command` is neither \"add\" nor \"remove\"".into()),
        })
    }
}

fn target(message: &Message, at: usize) -> String {
    match message.to() {
        To::One(to) => to.into_owned(),
        To::Many(urls) => urls.get(at).map(|url| url.clone().into_owned()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn commands_are_told_from_rubbish() {
        let read = |text: &str| Command::read(text.as_bytes());
        assert_eq!(
            read(r#"{"command":"add","hyperty":"hyperty://a/b"}"#),
            Some(Command::Add(url("hyperty://a/b")))
        );
        assert_eq!(
            read(r#"{"hyperty":"hyperty://a/b","command":"remove"}"#),
            Some(Command::Remove(url("hyperty://a/b")))
        );
        for wrong in [
            r#"{"command":"add"}"#,
            r#"{"command":"add","hyperty":7}"#,
            r#"{"command":"add","hyperty":"nowhere"}"#,
            r#"{"command":"grow","hyperty":"hyperty://a/b"}"#,
            r#"{"command":1,"hyperty":"hyperty://a/b"}"#,
        ] {
            assert!(matches!(read(wrong), Some(Command::Wrong(_))), "{wrong}");
        }
        for rubbish in ["", "{", "[1]", "\"command\"", r#"{"id":1}"#] {
            assert_eq!(read(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn a_hyperty_has_a_name_and_is_no_part_of_the_runtime() {
        let runtime = url("hyperty-runtime://a/1");
        assert!(check_hyperty(&url("hyperty://a/b"), &runtime).is_ok());
        assert!(check_hyperty(&url("hyperty://a"), &runtime).is_err());
        assert!(check_hyperty(&url("hyperty-runtime://a/1/ua"), &runtime).is_err());
    }
}
