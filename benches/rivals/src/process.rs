//! The parties as the driver sees them: processes of its own executable, or nats-server, bounded in time.

use std::{fs, net::TcpListener, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::party::Outcome;

/// For one answer of a party: a round takes less than a second on an idle machine.
const ANSWER: Duration = Duration::from_secs(30);
/// For nats-server to listen.
const NATS_START: Duration = Duration::from_secs(10);

/// A party in a process of its own; it ends with this.
pub struct Process {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this executable with `arguments`.
    pub fn start(arguments: &[&str]) -> Outcome<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("no pipe to the party")?;
        let output = child.stdout.take().ok_or("no pipe from the party")?;
        let lines = BufReader::new(output).lines();
        Ok(Process { name: arguments.join(" "), child, input, lines })
    }

    /// The process, its input and its lines, for who kills it.
    pub fn into_parts(self) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
        (self.child, self.input, self.lines)
    }

    /// Says a line.
    pub async fn tell(&mut self, line: &str) -> Outcome<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    /// The next line that the party says.
    pub async fn hear(&mut self) -> Outcome<String> {
        match timeout(ANSWER, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(format!("{} has ended", self.name).into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(format!("{} was silent for {ANSWER:?}", self.name).into()),
        }
    }

    /// Says a line and hears the answer, less its first word `expected`.
    pub async fn ask(&mut self, line: &str, expected: &str) -> Outcome<String> {
        self.tell(line).await?;
        self.hear_word(expected).await
    }

    /// Hears a line that begins with `expected`, and gives the rest.
    pub async fn hear_word(&mut self, expected: &str) -> Outcome<String> {
        let answer = self.hear().await?;
        match answer.strip_prefix(expected) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(format!("{} said {answer}, not {expected}", self.name).into()),
        }
    }

    /// Processor time that it has used, in seconds.
    pub async fn cpu(&mut self) -> Outcome<f64> {
        Ok(self.ask("cpu", "").await?.parse::<f64>()? / 1e9)
    }
}

/// Who stands between the two ends, if anybody does.
pub enum Server {
    None,
    Party(Process),
    Nats(NatsServer),
}

impl Server {
    pub async fn cpu(&mut self) -> Outcome<f64> {
        match self {
            Server::None => Ok(0.0),
            Server::Party(process) => process.cpu().await,
            Server::Nats(server) => server.cpu(),
        }
    }
}

/// A nats-server on a free port; it ends with this.
pub struct NatsServer {
    child: Child,
    pub address: String,
}

impl NatsServer {
    /// # Errors
    /// If it is not installed, or does not listen in time.
    pub async fn start() -> Outcome<NatsServer> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server"]
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false))
            .unwrap_or("nats-server");
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("nats-server: {error}"))?;
        let address = format!("127.0.0.1:{port}");
        let listens = async {
            while tokio::net::TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(NATS_START, listens).await.map_err(|_| "nats-server does not listen")?;
        Ok(NatsServer { child, address })
    }

    /// Its processor time, of all its threads.
    fn cpu(&self) -> Outcome<f64> {
        let pid = self.child.id().ok_or("nats-server has ended")?;
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let used = text.split(' ').next().unwrap_or_default();
            nanoseconds += used.parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }
}
