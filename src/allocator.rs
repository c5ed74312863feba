//! What the system's allocator is told, so that memory which is free is the machine's again.
//!
//! Requests, checkpoints and reads take megabytes for a moment, between allocations that stay for
//! days. glibc would keep one heap for each thread that ever waited for another's, and give back only
//! what is free at the end of one. What always holds: scores and stored bytes do not depend on any of
//! this. It does nothing where the C library is another one.

/// Heaps. A sample allocates nothing, so that threads seldom meet here; each heap more keeps its own
/// free memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: i32 = 2;

/// To be called once, before there are threads.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "the C library has no safe way to say it")]
    // SAFETY: sets a number in the allocator; there is no other thread yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives whole pages that are free back to the system: milliseconds, so not for threads that score.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "the C library has no safe way to say it")]
    // SAFETY: takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
