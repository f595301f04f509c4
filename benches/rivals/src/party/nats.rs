//! NATS core: both parties are clients of one nats-server, with nothing stored or acknowledged.

use async_nats::{Client, ConnectOptions, Subscriber};
use futures_util::StreamExt;

use super::{Outcome, Party};
use crate::{
    console::Console,
    work::{Author, Checker, Writer},
};

const TO_BOB: &str = "bench.bob";
const TO_ALICE: &str = "bench.alice";
/// Messages that the client may hold for its subscriber; beyond, it drops. More than any round has.
const QUEUE: usize = 1 << 20;

pub struct Nats {
    client: Client,
    subscriber: Subscriber,
    theirs: &'static str,
    writer: Writer,
    checker: Checker,
}

impl Nats {
    pub async fn open(author: Author, address: &[String], console: &Console) -> Outcome<Self> {
        let [address] = address else { return Err("wanted: the server's address".into()) };
        let client = ConnectOptions::new().subscription_capacity(QUEUE).connect(address).await?;
        let (own, theirs, other) = match author {
            Author::Alice => (TO_ALICE, TO_BOB, Author::Bob),
            Author::Bob => (TO_BOB, TO_ALICE, Author::Alice),
        };
        let subscriber = client.subscribe(own).await?;
        // Flushed means that the server has the subscription.
        client.flush().await?;
        if author == Author::Bob {
            console.say("ready -");
        }
        let (writer, checker) = (Writer::new(author), Checker::new(other));
        Ok(Nats { client, subscriber, theirs, writer, checker })
    }

    async fn publish(&mut self) -> Outcome<()> {
        Ok(self.client.publish(self.theirs, self.writer.message()).await?)
    }

    async fn next(&mut self) -> Outcome<()> {
        let message = self.subscriber.next().await.ok_or("the subscription ended")?;
        self.checker.check(&message.payload);
        Ok(())
    }
}

impl Party for Nats {
    async fn send(&mut self, messages: u64) -> Outcome<()> {
        for _ in 0..messages {
            self.publish().await?;
        }
        Ok(self.client.flush().await?)
    }

    async fn take(&mut self, messages: u64) -> Outcome<()> {
        for _ in 0..messages {
            self.next().await?;
        }
        Ok(())
    }

    async fn ping(&mut self) -> Outcome<()> {
        self.publish().await?;
        self.next().await
    }

    async fn echo(&mut self) -> Outcome<()> {
        self.next().await?;
        self.publish().await
    }
}
