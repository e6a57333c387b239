//! Asking for memory before it is needed.

/// Asks for the cache line at `at` of `bytes`, if there is one. On processors without a stable intrinsic, nothing.
#[inline(always)]
pub(crate) fn touch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if at < bytes.len() {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies within `bytes`; and a prefetch has no effect that a program can see.
        // JUSTIFICATION: there is no safe way to say it. Without, the walk over a mapped file takes half as long again
        // (1373 MB: 0.18 s instead of 0.12 s; 816 MB: 0.14 s instead of 0.07 s).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}
