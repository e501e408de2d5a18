//! What talks to the browser and to the worker. State goes in by [`store::Store::dispatch`], and nowhere else.

pub(crate) mod browser;
pub(crate) mod examples;
pub(crate) mod images;
pub(crate) mod insight;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod rpc;
pub(crate) mod share;
pub(crate) mod storage;
pub(crate) mod store;
pub(crate) mod theme;
pub(crate) mod uploads;
