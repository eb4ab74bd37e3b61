//! The admin thread: /health for load balancers and people, /metrics for Prometheus, /explain for who misses a record.
//! It reads what other threads keep, or asks them through their inboxes, on a listener of its own that is not for the
//! public.
//!
//! /health answers 200 while clients may come (`ready`, `degraded`) and 503 while they may not (`starting`, `draining`).
//! /metrics has labels for shards and threads, never for channels or clients: their number is not ours to bound.

use std::{net::SocketAddr, net::TcpListener, os::fd::OwnedFd, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use sync::Waker;
use tokio::sync::watch;

use crate::{
    accept::Phase,
    catalog::SharedCatalog,
    config::Route,
    error::Error,
    health::Health,
    inbox::{ShardLink, ToIngest},
    metrics::{AcceptMetrics, IngestMetrics, ShardMetrics},
};

pub mod explain;
mod exposition;
mod process;
mod state;

pub use exposition::render;

/// What there is to show.
#[derive(Debug, Clone)]
pub struct View {
    /// Loads and capacities.
    pub links: Arc<[ShardLink<OwnedFd>]>,
    /// Counters of each shard.
    pub shards: Arc<[Arc<ShardMetrics>]>,
    /// Counters of ingest.
    pub ingest: Arc<IngestMetrics>,
    /// Counters of the accept ring.
    pub accept: Arc<AcceptMetrics>,
    /// Readiness and reasons.
    pub health: Arc<Health>,
    /// The routes; their templates bound the names they make.
    pub routes: Arc<[Route]>,
    /// Topics and their partitions.
    pub catalog: SharedCatalog,
    /// Ingest's inbox.
    pub to_ingest: flume::Sender<ToIngest>,
    /// Wakes ingest after a message.
    pub ingest_waker: Arc<Waker>,
    /// When the server started, Unix ms.
    pub started_unix_ms: u64,
}

/// Binds the admin listener.
///
/// # Errors
/// [`Error::Kernel`], naming the address and what is wrong with it.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        Error::Kernel(format!("cannot listen on {address} (admin): {}", crate::accept::explained(&error)))
    })
}

/// Serves until [`Phase::Ended`]. Blocks its thread.
///
/// # Errors
/// [`Error::Kernel`]: the host refuses what a runtime needs.
pub fn run(listener: TcpListener, view: View, phase: watch::Receiver<Phase>) -> Result<(), Error> {
    let refused = |error: std::io::Error| Error::Kernel(format!("the admin thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(refused)?;
        // Not graceful: who keeps a scrape open does not keep the process.
        tokio::select! {
            served = async { axum::serve(listener, router(view)).await } => served.map_err(refused),
            () = crate::accept::ended(phase) => Ok(()),
        }
    })
}

/// The routes; apart from [`run`] so that tests and embedders can serve them otherwise.
fn router(view: View) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/explain", get(explain::explain))
        .with_state(view)
}

async fn health(State(view): State<View>) -> impl IntoResponse {
    let body = state::body(&view);
    let status = if body.takes_clients() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body))
}

async fn metrics(State(view): State<View>) -> impl IntoResponse {
    match render(&view) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}
