//! A line between a command and a worker, which drops when a test says so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How much a line carries before it drops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drops {
    /// Of what the command says.
    pub(crate) asked: u64,
    /// Of what the worker says.
    pub(crate) answered: u64,
    /// How long each piece of what the worker says is on its way.
    pub(crate) late: Duration,
}

impl Drops {
    pub(crate) const NEVER: Self = Self {
        asked: u64::MAX,
        answered: u64::MAX,
        late: Duration::ZERO,
    };
}

/// A port that a line is going to have. The worker has to know it before it serves, for it answers to its own names only.
pub(crate) struct Port(TcpListener);

impl Port {
    pub(crate) fn free() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).unwrap())
    }

    /// Its number, free from here on for a worker. It prints the name that others call it by, and not where it listens.
    pub(crate) fn given_up(self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// As `serve --host` takes it.
    pub(crate) fn host(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Passes on what comes to the worker at `port`. The first `times` connections that carry so much drop.
    pub(crate) fn lead(self, port: u16, drops: Drops, times: usize) -> Line {
        let own = self.0.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let leads = Arc::new(AtomicU16::new(port));
        let to = Arc::clone(&leads);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for near in self.0.incoming() {
                // Where nobody is at its end, the line is closed at once.
                let (near, far) = (
                    near.unwrap(),
                    TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed))),
                );
                let Ok(far) = far else { continue };
                for (from, to, most, late, counted) in [
                    (&near, &far, drops.asked, Duration::ZERO, true),
                    (&far, &near, drops.answered, drops.late, false),
                ] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let counts = Arc::clone(&shared);
                    std::thread::spawn(move || pass(from, to, (most, times), late, counted, &counts));
                }
            }
        });
        Line {
            port: own,
            counts,
            leads,
        }
    }
}

/// Passes on what two sides say to each other.
pub(crate) struct Line {
    pub(crate) port: u16,
    counts: Arc<Counts>,
    leads: Arc<AtomicU16>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    dropped: AtomicUsize,
}

impl Line {
    /// From here on it leads to the worker at `port`.
    pub(crate) fn lead_to(&self, port: u16) {
        self.leads.store(port, Ordering::Relaxed);
    }

    /// Bytes that the command said, over all connections.
    pub(crate) fn asked(&self) -> u64 {
        self.counts.asked.load(Ordering::Relaxed)
    }

    /// How many connections dropped.
    pub(crate) fn dropped(&self) -> usize {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    (most, times): (u64, usize),
    late: Duration,
    counted: bool,
    counts: &Counts,
) {
    let mut passed = 0;
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        passed += count as u64;
        if counted {
            counts.asked.fetch_add(count as u64, Ordering::Relaxed);
        }
        if passed > most && counts.dropped.load(Ordering::Relaxed) < times {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
            _ = from.shutdown(Shutdown::Both);
            _ = to.shutdown(Shutdown::Both);
            return;
        }
        std::thread::sleep(late);
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    _ = to.shutdown(Shutdown::Write);
}
