//! Process descriptors: a second one of an open file, and how many there may be.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Duplicates the descriptor of anything that only shows it as a number (tokio-uring's streams), close-on-exec.
/// The original stays open; `descriptor` is borrowed so that it cannot be closed meanwhile. (A `BorrowedFd` would say it
/// better, but such types do not give one, and to make one of a number is unsafe where unsafe code has no place.) Pass what
/// owns its descriptor: a mere number may name somebody else's file by now, and the copy would be of that.
///
/// # Errors
/// `EMFILE` when the process has no descriptor left, `EBADF` when the number names none.
pub fn duplicate(descriptor: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC reads and writes no memory of ours and is defined for every number: an invalid one is EBADF.
    let copy = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Raises the soft limit of descriptors (RLIMIT_NOFILE) to the hard one, and tells it. The limit bounds each ring's table too.
/// Nothing here uses select(2), for which the soft limit is kept low by default.
///
/// # Errors
/// What the kernel says; the limit is then what it was.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit to memory that is ours for the length of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit from memory that is ours for the length of the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::{duplicate, raise_descriptor_limit};

    #[test]
    fn the_copy_outlives_the_original() {
        let (left, mut right) = UnixStream::pair().unwrap();
        let copy = duplicate(&left).unwrap();
        drop(left);
        UnixStream::from(copy).write_all(b"still open").unwrap();
        let mut got = String::new();
        right.read_to_string(&mut got).unwrap();
        assert_eq!(got, "still open");
    }

    #[test]
    fn a_number_that_names_nothing_is_refused() {
        assert_eq!(duplicate(&-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn the_limit_is_raised_and_stays_raised() {
        let raised = raise_descriptor_limit().unwrap();
        assert!(raised >= 256);
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }
}
