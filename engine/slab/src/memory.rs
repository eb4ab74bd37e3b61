//! Memory taken once, at start.

/// Takes memory for `len` values and touches all of it, for the first touch of a page is slow (tried on a virtual machine:
/// 64 MiB took 0.8 s) and must not happen under load. Asks for huge pages: readers jump about in it, and misses of the TLB
/// are what that costs.
pub(super) fn taken<T>(len: usize, value: impl Fn() -> T) -> Box<[T]> {
    let mut memory = Vec::with_capacity(len);
    advise_huge_pages(&memory);
    memory.resize_with(len, value);
    memory.into_boxed_slice()
}

/// Before the first touch, for then the kernel can serve it with a huge page at once.
#[cfg(not(any(loom, miri)))]
fn advise_huge_pages<T>(memory: &Vec<T>) {
    const HUGE_PAGE: usize = 2 << 20;
    let begin = memory.as_ptr().addr().next_multiple_of(HUGE_PAGE);
    let end = (memory.as_ptr().addr() + memory.capacity() * size_of::<T>()) & !(HUGE_PAGE - 1);
    if begin < end {
        let first = memory.as_ptr().cast_mut().cast::<libc::c_void>().with_addr(begin);
        // The answer does not matter: without huge pages it works all the same.
        // SAFETY: the range lies within the vector's allocation, and the advice leaves contents as they are.
        unsafe { libc::madvise(first, end - begin, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(any(loom, miri))]
fn advise_huge_pages<T>(_memory: &Vec<T>) {}
