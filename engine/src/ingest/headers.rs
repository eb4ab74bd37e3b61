//! A record's headers as a slice.

/// Headers of a record that need no allocation.
const INLINE: usize = 32;

/// Calls `with` with a record's headers. A header without a value is as good as none.
pub(super) fn with<T>(headers: kafka::Headers<'_>, with: impl FnOnce(&[(&str, &[u8])]) -> T) -> T {
    let mut inline = [("", &[][..]); INLINE];
    let mut many = Vec::new();
    let mut len = 0;
    let mut present = headers.iter().filter_map(|(name, value)| Some((name, value?)));
    for header in present.by_ref().take(INLINE) {
        inline[len] = header;
        len += 1;
    }
    let Some(next) = present.next() else { return with(&inline[..len]) };
    many.extend_from_slice(&inline[..]);
    many.push(next);
    many.extend(present);
    with(&many)
}
