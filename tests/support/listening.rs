//! The HTTP surface of saimon on a free port, in this process.

use std::net::SocketAddr;

use saimon::expose::{self, State};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A surface that answers until `shutdown`.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    #[allow(dead_code, reason = "some leave it to the end of the runtime")]
    pub(crate) served: JoinHandle<()>,
    pub(crate) runtime: Runtime,
}

/// Serves `state`.
pub(crate) fn listen(state: State) -> Listening {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = runtime.block_on(expose::listener::bind(free)).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = runtime.spawn(expose::serve(listener, state, shutdown.clone()));
    Listening {
        address,
        shutdown,
        served,
        runtime,
    }
}
