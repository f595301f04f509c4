//! Zenoh, peer to peer over its QUIC or TCP link: reliable, blocking when congested, its own batching on.

use std::{
    fs,
    net::UdpSocket,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};
use zenoh::{
    Config, Session, Wait,
    bytes::Encoding,
    pubsub::{Publisher, Subscriber},
    qos::CongestionControl,
};

use super::{Outcome, Party};
use crate::{
    console::Console,
    work::{Author, Checker, Writer},
};

const TO_BOB: &str = "bench/bob";
const TO_ALICE: &str = "bench/alice";
/// For each side to learn of the other's interest; what is published before goes to nobody.
const MATCHING: Duration = Duration::from_secs(10);

pub struct Zenoh {
    _session: Session,
    publisher: Publisher<'static>,
    _subscriber: Subscriber<()>,
    inbox: Arc<Inbox>,
    wanted: u64,
    writer: Writer,
}

/// What Zenoh's own thread checks, and who waits for it.
struct Inbox {
    checker: Mutex<(Checker, u64)>,
    arrived: Notify,
}

impl Zenoh {
    pub async fn open(
        author: Author,
        protocol: &str,
        address: &[String],
        console: &Console,
    ) -> Outcome<Self> {
        let (config, address) = match author {
            Author::Bob => listening(protocol)?,
            Author::Alice => (dialling(address)?, String::new()),
        };
        let session = zenoh::open(config).await.map_err(|error| error.to_string())?;
        let (own, theirs, other) = match author {
            Author::Alice => (TO_ALICE, TO_BOB, Author::Bob),
            Author::Bob => (TO_BOB, TO_ALICE, Author::Alice),
        };
        let inbox = Arc::new(Inbox {
            checker: Mutex::new((Checker::new(other), u64::MAX)),
            arrived: Notify::new(),
        });
        let taken = inbox.clone();
        let subscriber = session
            .declare_subscriber(own)
            .callback(move |sample| taken.take(&sample.payload().to_bytes()))
            .await
            .map_err(|error| error.to_string())?;
        let publisher = session
            .declare_publisher(theirs)
            .encoding(Encoding::APPLICATION_JSON)
            .congestion_control(CongestionControl::Block)
            .await
            .map_err(|error| error.to_string())?;
        if author == Author::Bob {
            console.say(&format!("ready {address}"));
        }
        timeout(MATCHING, until_matching(&publisher)).await??;
        let writer = Writer::new(author);
        Ok(Zenoh {
            _session: session,
            publisher,
            _subscriber: subscriber,
            inbox,
            wanted: 0,
            writer,
        })
    }

    fn put(&mut self) -> Outcome<()> {
        let message = self.writer.message();
        self.publisher.put(message).wait().map_err(|error| error.to_string().into())
    }

    async fn wait_for(&mut self, messages: u64) {
        self.wanted += messages;
        loop {
            let arrived = self.inbox.arrived.notified();
            {
                let mut inbox = self.inbox.checker.lock().expect("the checker found no fault");
                if inbox.0.taken >= self.wanted {
                    return;
                }
                inbox.1 = self.wanted;
            }
            arrived.await;
        }
    }
}

impl Inbox {
    fn take(&self, message: &[u8]) {
        let mut inbox = self.checker.lock().expect("the checker found no fault");
        inbox.0.check(message);
        if inbox.0.taken == inbox.1 {
            self.arrived.notify_one();
        }
    }
}

impl Party for Zenoh {
    async fn send(&mut self, messages: u64) -> Outcome<()> {
        for _ in 0..messages {
            self.put()?;
        }
        Ok(())
    }

    async fn take(&mut self, messages: u64) -> Outcome<()> {
        self.wait_for(messages).await;
        Ok(())
    }

    async fn ping(&mut self) -> Outcome<()> {
        self.put()?;
        self.wait_for(1).await;
        Ok(())
    }

    async fn echo(&mut self) -> Outcome<()> {
        self.wait_for(1).await;
        self.put()
    }
}

async fn until_matching(publisher: &Publisher<'_>) -> Outcome<()> {
    loop {
        let status = publisher.matching_status().await.map_err(|error| error.to_string())?;
        if status.matching() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A listener on a free port, and what the other side has to know of it.
fn listening(protocol: &str) -> Outcome<(Config, String)> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let endpoint = format!("{protocol}/127.0.0.1:{port}");
    let mut config = alone()?;
    set(&mut config, "listen/endpoints", &format!(r#"["{endpoint}"]"#))?;
    if protocol != "quic" {
        return Ok((config, format!("{endpoint} -")));
    }
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let directory = std::env::temp_dir().join(format!("rivals-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let (certificate, private) = (directory.join("certificate.pem"), directory.join("key.pem"));
    fs::write(&certificate, key.cert.pem())?;
    fs::write(&private, key.signing_key.serialize_pem())?;
    set(&mut config, "transport/link/tls/listen_certificate", &quoted(&certificate))?;
    set(&mut config, "transport/link/tls/listen_private_key", &quoted(&private))?;
    Ok((config, format!("{endpoint} {}", certificate.display())))
}

fn dialling(address: &[String]) -> Outcome<Config> {
    let [endpoint, certificate] = address else {
        return Err("wanted: ENDPOINT CERTIFICATE".into());
    };
    let mut config = alone()?;
    set(&mut config, "connect/endpoints", &format!(r#"["{endpoint}"]"#))?;
    set(&mut config, "listen/endpoints", "[]")?;
    if certificate != "-" {
        let certificate = quoted(&PathBuf::from(certificate));
        set(&mut config, "transport/link/tls/root_ca_certificate", &certificate)?;
        set(&mut config, "transport/link/tls/verify_name_on_connect", "false")?;
    }
    Ok(config)
}

/// A peer that looks for nobody.
fn alone() -> Outcome<Config> {
    let mut config = Config::default();
    set(&mut config, "mode", r#""peer""#)?;
    set(&mut config, "scouting/multicast/enabled", "false")?;
    set(&mut config, "scouting/gossip/enabled", "false")?;
    Ok(config)
}

fn set(config: &mut Config, key: &str, value: &str) -> Outcome<()> {
    config.insert_json5(key, value).map_err(|error| format!("{key}: {error}").into())
}

fn quoted(path: &std::path::Path) -> String {
    format!("{:?}", path.display().to_string())
}
