//! What a Message Node is told: flags, the file behind `--config`, and which of them wins.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;
use hyperty_router::{
    address::Address,
    node::{NodeConfig, NodeLimits},
    subscription::Policy,
    transport::websocket::ServerConfig,
};
use serde::Deserialize;
use tokio::net::{TcpListener, lookup_host};

/// Bytes that a frame may have over the largest message, so that its sender is told size and limit instead of
/// being cut.
const FRAME_SLACK_BYTES: usize = 64 << 10;
/// The largest message that can be allowed.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Options of `node`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The domain it serves.
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// Where it listens, as IP:PORT; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Who may use which address [default: owner].
    #[arg(long, value_enum)]
    policy: Option<PolicyWord>,
    /// Listen on other addresses than loopback: anyone who gets there may open any runtimeURL.
    #[arg(long)]
    insecure: bool,
    /// Serve counters for Prometheus at http://ADDR/metrics.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// A TOML file with the same names, and a table `limits`; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, ValueEnum, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum PolicyWord {
    /// An address is its session's.
    Owner,
    /// Everyone may use every address: for closed networks.
    Open,
}

/// The file behind `--config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    domain: Option<String>,
    listen: Option<String>,
    policy: Option<PolicyWord>,
    insecure: Option<bool>,
    metrics: Option<String>,
    #[serde(default)]
    limits: FileLimits,
}

/// The bounds worth setting; each is the library's of about the same name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    message_bytes_max: Option<usize>,
    sockets_max: Option<usize>,
    sessions_max: Option<usize>,
    session_keep_seconds: Option<u32>,
    queue_messages_max: Option<usize>,
    queue_bytes_max: Option<usize>,
    subscriptions_per_session_max: Option<usize>,
    subscriptions_max: Option<usize>,
    allocations_per_session_max: Option<usize>,
    registry_entries_per_session_max: Option<usize>,
}

/// What holds in the end.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) node: NodeConfig,
    pub(super) listen: String,
    pub(super) insecure: bool,
    pub(super) metrics: Option<String>,
}

impl Settings {
    /// Flags over the file over the defaults.
    pub(super) fn from(options: Options) -> Result<Self, String> {
        let file = match &options.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let missing = |flag: &str, key: &str| {
            format!("--{flag} is needed, or `{key}` in the file given by --config")
        };
        let domain = options.domain.or(file.domain).ok_or_else(|| missing("domain", "domain"))?;
        if domain.contains('/') {
            return Err(format!("domain `{domain}`: a domain has no `/`"));
        }
        let listen = options.listen.or(file.listen).ok_or_else(|| missing("listen", "listen"))?;
        check_domain(&domain)?;
        let policy = match options.policy.or(file.policy) {
            Some(PolicyWord::Open) => Policy::Open,
            Some(PolicyWord::Owner) | None => Policy::Owner,
        };
        let mut node = NodeConfig::new(domain);
        node.policy = policy;
        file.limits.apply(&mut node.limits)?;
        Ok(Settings {
            node,
            listen,
            insecure: options.insecure || file.insecure.unwrap_or(false),
            metrics: options.metrics.or(file.metrics),
        })
    }

    pub(super) fn policy_word(&self) -> &'static str {
        match self.node.policy {
            Policy::Open => "open",
            _ => "owner",
        }
    }

    pub(super) fn server(&self) -> ServerConfig {
        let limits = &self.node.limits;
        let mut server =
            ServerConfig { sockets_max: limits.sockets_max, ..ServerConfig::default() };
        server.socket.message_bytes_max = limits.message.bytes_max + FRAME_SLACK_BYTES;
        server
    }
}

impl FileLimits {
    fn apply(self, limits: &mut NodeLimits) -> Result<(), String> {
        set(&mut limits.message.bytes_max, self.message_bytes_max);
        set(&mut limits.sockets_max, self.sockets_max);
        set(&mut limits.sessions_max, self.sessions_max);
        set(&mut limits.queue_items_max, self.queue_messages_max);
        set(&mut limits.queue_bytes_max, self.queue_bytes_max);
        set(&mut limits.subscriptions.per_session_max, self.subscriptions_per_session_max);
        set(&mut limits.subscriptions.all_max, self.subscriptions_max);
        set(&mut limits.allocations_per_session_max, self.allocations_per_session_max);
        set(&mut limits.registry_entries_per_session_max, self.registry_entries_per_session_max);
        if let Some(seconds) = self.session_keep_seconds {
            limits.session_keep = Duration::from_secs(seconds.into());
        }
        let bytes_max = limits.message.bytes_max;
        if !(1..=MESSAGE_BYTES_MAX).contains(&bytes_max) {
            return Err(format!(
                "limits.message_bytes_max is {bytes_max}, 1 to {MESSAGE_BYTES_MAX} can be set"
            ));
        }
        Ok(())
    }
}

/// A domain is the whole authority of the node's own addresses.
fn check_domain(domain: &str) -> Result<(), String> {
    let url = format!("domain://{domain}");
    let address = Address::parse(&url).map_err(|error| format!("--domain `{domain}`: {error}"))?;
    match address.is_bare() && address.authority() == domain {
        true => Ok(()),
        false => Err(format!("--domain `{domain}`: a domain has no `/`")),
    }
}

fn set(limit: &mut usize, to: Option<usize>) {
    *limit = to.unwrap_or(*limit);
}

/// Opens a port. Any address but loopback has to be asked for by `--insecure`.
pub(super) async fn bind(text: &str, flag: &str, insecure: bool) -> Result<TcpListener, String> {
    let address = resolve(text, flag).await?;
    if !insecure && !address.ip().to_canonical().is_loopback() {
        return Err(format!(
            "{flag} {text} is no loopback address, and whoever reaches a Message Node may open any \
             runtimeURL; --insecure listens there all the same"
        ));
    }
    TcpListener::bind(address).await.map_err(|error| format!("{flag} {text}: {error}"))
}

async fn resolve(text: &str, flag: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wanted = |why: &str| format!("{flag} `{text}` is not HOST:PORT, as in 127.0.0.1:9090{why}");
    if !text.contains(':') {
        return Err(wanted(""));
    }
    let found = lookup_host(text).await.map_err(|error| wanted(&format!(": {error}")))?;
    found.into_iter().next().ok_or_else(|| wanted(""))
}

fn read(path: &PathBuf) -> Result<File, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    parse(&text).map_err(|error| format!("{name}: {error}"))
}

fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| {
        let what = error.message().replace('\n', " ");
        match error.span() {
            Some(span) => {
                let line = 1 + text[..span.start.min(text.len())].matches('\n').count();
                format!("line {line}: {what}")
            }
            None => what,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("domain = \"a\"\nlisten_on = \"b\"\n").unwrap_err();
        assert!(error.starts_with("line 2: unknown field `listen_on`"), "{error}");
        let error = parse("[limits]\nqueue = 1\n").unwrap_err();
        assert!(error.contains("unknown field `queue`"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn every_limit_that_can_be_set_is_set() {
        let text = "[limits]\nmessage_bytes_max = 1\nsockets_max = 2\nsessions_max = 3\n\
                    session_keep_seconds = 4\nqueue_messages_max = 5\nqueue_bytes_max = 6\n\
                    subscriptions_per_session_max = 7\nsubscriptions_max = 8\n\
                    allocations_per_session_max = 9\nregistry_entries_per_session_max = 10\n";
        let mut limits = NodeLimits::default();
        parse(text).unwrap().limits.apply(&mut limits).unwrap();
        assert_eq!((limits.message.bytes_max, limits.sockets_max, limits.sessions_max), (1, 2, 3));
        assert_eq!(limits.session_keep, Duration::from_secs(4));
        assert_eq!((limits.queue_items_max, limits.queue_bytes_max), (5, 6));
        let quotas = &limits.subscriptions;
        assert_eq!((quotas.per_session_max, quotas.all_max), (7, 8));
        let last = (limits.allocations_per_session_max, limits.registry_entries_per_session_max);
        assert_eq!(last, (9, 10));
    }
}
