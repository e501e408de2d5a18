//! How much one client, and all of them together, may ask of the server.

use std::time::Duration;

use super::rate::Rate;

/// How slowly a request's body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest pause.
    pub idle: Duration,
    /// How long any pace will do.
    pub grace: Duration,
    /// Bytes a second from then on, in the mean.
    pub bytes_per_second: u64,
}

/// The server's bounds. Tests shorten the times; the product uses [`Limits::default`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// TCP connections at the same time; more wait in the kernel's queue.
    pub connections: usize,
    /// Clients at the same time.
    pub sockets: usize,
    /// Clients that have not said `hello` yet, at the same time.
    pub strangers: usize,
    /// How long a request's headers may take, and how long an idle connection is kept.
    pub headers: Duration,
    /// How long a client may take to say `hello`.
    pub hello: Duration,
    /// How many wrong tokens are answered at once; after that, one for each [`Limits::attempt_every`].
    pub attempts: u32,
    /// How long it takes until one more attempt is allowed.
    pub attempt_every: Duration,
    /// Bytes of one message. A context's manifest is the largest there is: some 100,000 entries fit.
    pub message: usize,
    /// Calls of one client that are worked on at the same time; more are refused.
    pub calls: usize,
    /// Builds that one client follows at the same time.
    pub attachments: usize,
    /// Messages that wait for a slow client; whoever has more to say waits too.
    pub outbox: usize,
    /// How often a client is asked whether it is still there, and one that follows a build is told that we are.
    pub ping: Duration,
    /// How long a client may be silent, and take nothing, before it is given up.
    pub silence: Duration,
    /// How often one token, session or unknown address may ask under `/v1`.
    pub asking: Rate,
    /// How often a token or session may send pieces of contexts.
    pub uploading: Rate,
    /// How often an address is told that it may not; after that it is told to wait.
    pub refused: Rate,
    /// How slowly a request's body may come.
    pub pace: Pace,
    /// Bytes of a JSON document that is no context's list.
    pub document: usize,
    /// Bytes of all bodies together that are read at the same time, other than content of contexts.
    pub bodies: usize,
    /// Builds that are followed over HTTP at the same time.
    pub streams: usize,
    /// Plans and checks that are made at the same time.
    pub plans: usize,
    /// How long a download's address is good for.
    pub ticket: Duration,
    /// Download addresses that are good at the same time.
    pub tickets: usize,
    /// Bytes of one message for a hook.
    pub hook_bytes: usize,
    /// How long such a message may take.
    pub hook_time: Duration,
    /// Such messages at the same time.
    pub hook_messages: usize,
    /// How long cancelled builds get to end, and then connections to close, when the worker stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            sockets: 256,
            strangers: 64,
            headers: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            attempts: 10,
            attempt_every: Duration::from_secs(1),
            message: 16 << 20,
            calls: 16,
            attachments: 32,
            outbox: 2,
            ping: Duration::from_secs(20),
            silence: Duration::from_mins(1),
            asking: Rate::per_second(50),
            uploading: Rate::per_second(1000),
            refused: Rate {
                burst: 100,
                per_second: 1,
            },
            pace: Pace {
                idle: Duration::from_secs(10),
                grace: Duration::from_secs(10),
                bytes_per_second: 1 << 10,
            },
            document: 4 << 20,
            bodies: 128 << 20,
            streams: 256,
            plans: 8,
            ticket: Duration::from_mins(1),
            tickets: 256,
            hook_bytes: 5 << 20,
            hook_time: Duration::from_secs(10),
            hook_messages: 8,
            farewell: Duration::from_secs(4),
        }
    }
}
