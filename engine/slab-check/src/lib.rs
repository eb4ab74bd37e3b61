//! The engine's slab, compiled alone, so that two checkers can run it that could not run the whole engine (loom replaces
//! what tokio is built on; Miri knows no `io_uring`). Without them this crate is empty.
//!
//! All interleavings and all memory orders the language allows, of `tests/loom.rs`:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p uringcast-slab-check --target-dir target/loom
//! ```
//!
//! The slab's own tests, watched for undefined behaviour (needs a nightly toolchain with the `miri` component):
//!
//! ```text
//! MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p uringcast-slab-check --target-dir target/miri
//! ```

#![cfg(any(loom, miri))]

#[path = "../../src/slab/mod.rs"]
pub mod slab;
