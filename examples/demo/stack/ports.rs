//! Free ports for the processes of a stack.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Below the range from which the kernel takes the ports of outgoing connections, so that none of
/// those takes a port between its choice and its use.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Where each process listens, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) saimon: u16,
    pub(crate) prometheus: u16,
    pub(crate) alertmanager: u16,
    pub(crate) generator: u16,
    pub(crate) node: u16,
}

impl Ports {
    pub(crate) fn choose() -> Result<Self> {
        // two stacks that start at once look at different places first
        let spread = fastrand::u16(FIRST..LAST);
        let mut held = Vec::new();
        let mut free = (spread..LAST).chain(FIRST..spread).filter_map(|port| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            held.push(listener);
            Some(port)
        });
        let mut next = || {
            free.next()
                .context("no free port between 20000 and 32000 on 127.0.0.1")
        };
        Ok(Self {
            saimon: next()?,
            prometheus: next()?,
            alertmanager: next()?,
            generator: next()?,
            node: next()?,
        })
    }
}
