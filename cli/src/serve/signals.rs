//! SIGTERM and SIGINT: the first drains, the second exits at once.

use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicBool},
};

use engine::server::Handle;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};

/// Exit code of a second signal: nothing was drained to its end.
const CUT_SHORT: i32 = 1;

/// From now on the signals are ours. The second exits from within the signal handler, so that it works whatever the
/// threads are doing.
pub(super) fn install(handle: Handle) -> io::Result<()> {
    let first = Arc::new(AtomicBool::new(false));
    let (tell, mut heard) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, and sets it for the second.
        flag::register_conditional_shutdown(signal, CUT_SHORT, Arc::clone(&first))?;
        flag::register(signal, Arc::clone(&first))?;
        pipe::register(signal, tell.try_clone()?)?;
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if heard.read_exact(&mut [0]).is_ok() {
            handle.drain();
        }
    })?;
    Ok(())
}
