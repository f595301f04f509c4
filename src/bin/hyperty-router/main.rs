//! The program `hyperty-router`: a Message Node, a runtime, a demonstration and a tracer in one.
//!
//! Results are JSON Lines on stdout; logs go to stderr. A failure is one line on stderr and a non-zero exit.

mod demo;
mod logs;
mod node;
mod output;
mod runtime;
mod signals;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Routes Hyperty messages: by Message Node, and by direct connections as soon as they are live.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch messages move from the relay to a direct connection and back, on this machine.
    Demo(demo::Options),
    /// Run a Message Node.
    Node(node::Options),
    /// Run a runtime; messages come in on stdin and go out on stdout, one JSON object a line.
    Runtime(runtime::Options),
    /// Feed messages to a runtime without a network, and see what it decides about each.
    Trace(trace::Options),
}

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => return refuse(&error),
    };
    let outcome = match program.command {
        Command::Demo(options) => demo::run(options),
        Command::Node(options) => node::run(options),
        Command::Runtime(options) => runtime::run(options),
        Command::Trace(options) => trace::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hyperty-router: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Help and version as they are; of a wrong use one line, without the help that follows it.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || !error.use_stderr() {
        error.exit();
    }
    let lines: Vec<&str> =
        text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    eprintln!("hyperty-router: {}", line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(2)
}
