//! The flags about every `RUN` of a build: its network, hosts, limits and shared memory.

use clap::ValueEnum;
use stagewright_core::analysis::RunOptions;
use stagewright_core::llb::{HostIp, MetaParts, NetMode, Ulimit};

use crate::request::steps::{host, settled, size, ulimit};

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The network of every RUN that names none; host is the machine's own
    #[arg(long, value_enum, value_name = "NETWORK", default_value_t)]
    pub(super) network: Network,

    /// Give RUN a name for an address, in /etc/hosts; may be given several times
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = host)]
    pub(super) add_host: Vec<HostIp>,

    /// Limit each process of RUN, as in nofile=1024:2048; may be given several times
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit)]
    pub(super) ulimit: Vec<Ulimit>,

    /// How large /dev/shm is for RUN, as in 128m [default: 64m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shm_size: Option<i64>,
}

/// What `--network` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Network {
    /// A network of the step's own, with a way out
    #[default]
    Default,
    /// No network at all
    None,
    /// The machine's own network
    Host,
}

impl Arguments {
    /// What the plan has to know of it.
    pub(super) fn options(&self) -> RunOptions {
        RunOptions {
            network: match self.network {
                Network::Default => NetMode::Unset,
                Network::None => NetMode::None,
                Network::Host => NetMode::Host,
            },
            meta: MetaParts::new(self.add_host.clone(), settled(&self.ulimit), String::new()),
            shm_size: self.shm_size.unwrap_or_default(),
        }
    }
}
