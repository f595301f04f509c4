//! How a party talks with the driver: one line in, one line out; and what the party has cost so far.

use std::{
    io::{self, BufRead, Write},
    mem::MaybeUninit,
    time::Duration,
};

use tokio::sync::mpsc;

/// The party's end. Lines are read on a thread of their own, so that no party's work waits for a pipe.
pub struct Console {
    lines: mpsc::UnboundedReceiver<String>,
}

impl Console {
    pub fn open() -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Console { lines }
    }

    /// The driver's next command; `None` when it has gone, and then the party ends too.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Says one line.
    pub fn say(&self, line: &str) {
        say(line);
    }
}

/// Says one line, from any thread.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    // A driver that has gone is noticed by the end of its commands.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Processor time of this process so far, in user and in kernel mode together.
pub fn cpu() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is valid for writes of one `rusage`, and all zeros is a value of that type, so it may
    // be read whether or not the call has written it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |of: libc::timeval| {
        Duration::from_secs(of.tv_sec as u64) + Duration::from_micros(of.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Bytes of memory that this process has resident.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Bytes of heap in use, without what the allocator holds free.
pub fn heap_bytes() -> u64 {
    // SAFETY: the call takes nothing, writes only what it returns, and may run beside any allocation.
    let heap = unsafe { libc::mallinfo2() };
    (heap.uordblks + heap.hblkhd) as u64
}
