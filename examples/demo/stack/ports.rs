//! Free ports for the processes of a stack.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// Below the range from which the kernel takes the ports of outgoing connections, so that none of
/// those takes a port between its choice and its use.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// What was given out already, and may not be in use yet: tests start their stacks at once.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// Ports on 127.0.0.1 on which nobody listens, nor on the one after each: that is where saimon answers
/// gRPC.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // two stacks that start at once look at different places first
    let start = fastrand::u16(FIRST..LAST);
    // held until all are chosen, or one port would be chosen twice
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let held: Vec<(u16, [TcpListener; 2])> = (start..LAST)
        .chain(FIRST..start)
        .step_by(2)
        .filter(|port| given.iter().all(|g| g.abs_diff(*port) > 1))
        .filter_map(|port| Some((port, [listen(port)?, listen(port + 1)?])))
        .take(N)
        .collect();
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    given.extend(&ports);
    ports
        .try_into()
        .ok()
        .with_context(|| format!("fewer than {N} free ports between {FIRST} and {LAST}"))
}

/// Where each process of a stack listens, all on 127.0.0.1.
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
        let [saimon, prometheus, alertmanager, generator, node] = free()?;
        Ok(Self {
            saimon,
            prometheus,
            alertmanager,
            generator,
            node,
        })
    }
}
